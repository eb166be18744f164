"""Deliverers of webhooks in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from media.event import EventKind
from media.settings import Settings
from server import webhooks
from server.api.metrics import Metrics
from server.receiver import Receiver
from server.webhooks import Webhooks
from stores.catalog.base import Catalog
from stores.catalog.sqlite import SqliteCatalog
from tests.server.api.service import metric
from tests.server.lives import (
    catalog_in,
    live,
)
from tests.server.receiving import (
    SECRET,
    Act,
    Message,
    Receiving,
    receiving,
)

DEADLINE_S = 30.0


@dataclass(frozen=True)
class Delivering:
    catalog: SqliteCatalog
    metrics: Metrics

    def count(self, outcome: str) -> float:
        text = self.metrics.render({}, {}, {}).decode()
        return metric(text, f'headrace_webhook_deliveries_total{{outcome="{outcome}"}}')

    def oldest_s(self) -> float:
        text = self.metrics.render({}, {}, {}).decode()
        return metric(text, "headrace_webhook_oldest_undelivered_seconds")


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = catalog_in(data, webhooks=True)
    try:
        yield catalog
    finally:
        await catalog.close()


@asynccontextmanager
async def sending(
    catalog: Catalog, url: str, metrics: Metrics | None = None
) -> AsyncIterator["asyncio.Task[None]"]:
    async with Receiver(url, SecretStr(SECRET), connections=webhooks.PARALLEL) as there:
        running = asyncio.create_task(
            Webhooks(there, catalog, metrics or Metrics(Settings(), None)).run()
        )
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.wait([running])


@asynccontextmanager
async def delivering(data: Path, url: str) -> AsyncIterator[Delivering]:
    metrics = Metrics(Settings(), None)
    async with opened(data) as catalog, sending(catalog, url, metrics) as running:
        yield Delivering(catalog, metrics)
        assert not running.done()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await asyncio.sleep(0.01)


def run_until(
    data: Path,
    decide: Callable[[Message, int], Act] | None,
    titles: int,
    kinds: tuple[EventKind, ...],
) -> tuple[Receiving, list[str]]:
    """What a receiver that decides so has had once it has taken all of so many titles."""

    async def scenario() -> tuple[Receiving, list[str]]:
        with receiving(decide) as receiver:
            async with delivering(data, receiver.url) as service:
                ids = [await live(service.catalog, f"user {n}", kinds) for n in range(titles)]
                await until(lambda: all(len(kinds) in receiver.numbers(id_) for id_ in ids))
            return receiver, ids

    return asyncio.run(scenario())
