import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from media.asset import Asset, AssetType, Status
from media.settings import DataSettings, Settings
from stores.errors import NotFound
from stores.jobs.base import JobState
from stores.wiring import Stores, open_stores
from transcoder import chores
from transcoder.chores import tend


def settings(directory: Path) -> Settings:
    return Settings(data=DataSettings(dir=directory / "data"))


async def create(stores: Stores, media_id: str, status: Status = Status.QUEUED) -> None:
    now_ms = int(time.time() * 1000)
    await stores.catalog.create(
        Asset(media_id, "u", "t", "", AssetType.VIDEO, status, now_ms, now_ms)
    )


async def until_enqueued(stores: Stores, media_id: str) -> None:
    async with asyncio.timeout(120):
        while await stores.jobs.state(media_id) is not JobState.PENDING:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def tended(stores: Stores, workers: int = 1) -> AsyncIterator[None]:
    tending = [asyncio.create_task(tend(stores)) for _ in range(workers)]
    try:
        yield
    finally:
        for task in tending:
            task.cancel()
        await asyncio.wait(tending)


@contextmanager
def periods(patch: pytest.MonkeyPatch, **values: float) -> Iterator[None]:
    with patch.context() as context:
        for name, value in values.items():
            context.setattr(chores, name, value)
        yield


def test_a_start_after_a_short_life_looks_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the worker before it has claimed: a laptop that is started again has no other."""

    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            for life in range(3):
                await create(stores, f"m{life}")
                async with tended(stores):
                    await until_enqueued(stores, f"m{life}")

    with periods(monkeypatch, START_S=0.5):
        asyncio.run(scenario())


def test_one_worker_of_many_looks_per_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    period_s, looks = 0.4, 0

    async def scenario() -> float:
        started = time.monotonic()
        async with open_stores(settings(tmp_path)) as stores:

            async def look(_: Stores) -> None:
                nonlocal looks
                looks += 1

            monkeypatch.setattr(chores, "reconcile", look)
            async with tended(stores, workers=20), asyncio.timeout(120):
                while looks < 8:
                    await asyncio.sleep(0.01)
        return time.monotonic() - started

    with periods(monkeypatch, START_S=0.2, RECONCILE_EVERY_S=period_s):
        elapsed_s = asyncio.run(scenario())
    # At a start twice: at once, and for those who came too late for it. Then once per period.
    assert looks <= 3 + elapsed_s / (period_s * chores.CLAIM_SHARE)


def test_chores_go_on_after_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            catalog = tmp_path / "data" / "catalog.sqlite3"
            catalog.mkdir()  # a catalog that cannot be opened
            with capture_logs() as said:
                async with tended(stores):
                    async with asyncio.timeout(120):
                        while "reconcile" not in {entry.get("chore") for entry in said}:
                            await asyncio.sleep(0.01)
                    catalog.rmdir()
                    await create(stores, "m1")
                    await until_enqueued(stores, "m1")

    with periods(monkeypatch, START_S=0.1, RECONCILE_EVERY_S=0.1):
        asyncio.run(scenario())


def test_what_belongs_to_no_title_is_collected(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, "gone")
            await stores.catalog.remove("gone")
            await stores.objects.put("source/gone", b"x")
            async with tended(stores), asyncio.timeout(120):
                while True:
                    try:
                        await stores.objects.head("source/gone")
                    except NotFound:
                        return
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())
