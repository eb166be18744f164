"""Streams in this process: what a client that behaves cannot bring about."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from media.event import Event, EventKind
from media.settings import Settings
from server.api import events, feeds
from server.api.app import make_api
from server.tokens import TokenKeys
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Unavailable
from stores.jobs.base import Jobs
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.server.lives import LIFE, begin, go_on, live

DEADLINE_S = 30.0


class FaultyCatalog(SqliteCatalog):
    """One whose events cannot be read while it is `away`, and that counts how often they are."""

    away = False
    reads = 0

    async def events(self, media_id: str, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
        self.reads += 1
        if self.away:
            raise Unavailable("away")
        return await super().events(media_id, after=after, limit=limit)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[FaultyCatalog, ASGIApp]]:
    objects, catalog = FilesystemObjects(folder), FaultyCatalog(folder / "catalog")
    try:
        stores = Stores(objects, catalog, Jobs())
        yield catalog, make_api(Settings(), stores, TokenKeys({"k": bytes(32)}))
    finally:
        await objects.close()
        await catalog.close()


class Listener:
    """The client's end of a stream, as a server presents it to the application."""

    def __init__(self, app: ASGIApp, media_id: str, reads: Callable[[], Awaitable[object]]) -> None:
        self.status = 0
        self.body = b""
        self._reads = reads
        self._left = asyncio.Event()
        scope: dict[str, object] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": f"/api/v1/media/{media_id}/events",
            "raw_path": b"",
            "query_string": b"",
            "headers": [(b"x-user-id", b"ann")],
            "scheme": "http",
        }
        self.answering = asyncio.ensure_future(self._answer(app, scope))

    async def _answer(self, app: ASGIApp, scope: dict[str, object]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self._reads()
        self.body += message["body"]

    async def leave(self) -> None:
        self._left.set()
        await self.answering


async def at_once() -> None:
    pass


async def never() -> None:
    await asyncio.Event().wait()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await asyncio.sleep(0.005)


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(scenario)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLL_S", 0.01)


def test_listener_that_does_not_read_is_cut_and_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WRITE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(events, "MAX_LISTENERS", 1)

    async def scenario() -> None:
        async with opened(tmp_path) as (catalog, app):
            media_id = await begin(catalog)
            stuck = Listener(app, media_id, never)
            await until(lambda: stuck.status)
            refused = Listener(app, media_id, at_once)
            await refused.answering
            assert (stuck.status, refused.status) == (200, 503)
            await stuck.answering
            reading = Listener(app, media_id, at_once)
            await go_on(catalog, media_id, *LIFE[1:])
            await reading.answering
            assert reading.status == 200
            assert reading.body.count(b"\nevent: ") == len(LIFE)

    run(scenario())


def test_slow_listener_misses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though much more happens meanwhile than is kept for listeners."""
    monkeypatch.setattr(feeds, "PAGE", 3)
    monkeypatch.setattr(events, "PAGE", 3)

    async def scenario() -> None:
        go = asyncio.Event()
        async with opened(tmp_path) as (catalog, app):
            media_id = await live(catalog, kinds=LIFE[:3])
            slow, quick = Listener(app, media_id, go.wait), Listener(app, media_id, at_once)
            await go_on(catalog, media_id, *[EventKind.PROGRESS] * 20, EventKind.READY)
            await quick.answering
            go.set()
            await slow.answering
            for listener in (slow, quick):
                lines = listener.body.splitlines()
                ids = [int(line[4:]) for line in lines if line.startswith(b"id: ")]
                assert ids == [*range(1, 25)]

    run(scenario())


def test_title_is_polled_once_for_all_and_not_for_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (catalog, app):
            media_id = await begin(catalog)
            listeners = [Listener(app, media_id, at_once) for _ in range(50)]
            await until(lambda: all(b"created" in listener.body for listener in listeners))
            joined = catalog.reads
            started = time.monotonic()
            await until(lambda: catalog.reads >= joined + 150)
            polls = (time.monotonic() - started) / feeds.POLL_S
            assert catalog.reads - joined <= polls + len(listeners) + 1
            for listener in listeners:
                await listener.leave()
            left = catalog.reads
            await asyncio.sleep(10 * feeds.POLL_S)
            assert catalog.reads == left

    run(scenario())


def test_silence_is_broken_by_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)

    async def scenario() -> None:
        async with opened(tmp_path) as (catalog, app):
            listener = Listener(app, await begin(catalog), at_once)
            await until(lambda: listener.body.endswith(b"\n:\n\n:\n\n"))
            await listener.leave()

    run(scenario())


def test_short_outage_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)

    async def scenario() -> None:
        async with opened(tmp_path) as (catalog, app):
            media_id = await begin(catalog)
            listener = Listener(app, media_id, at_once)
            await until(lambda: b"created" in listener.body)
            catalog.away = True
            await go_on(catalog, media_id, *LIFE[1:])
            await until(lambda: listener.body.endswith(b"\n:\n\n:\n\n"))
            catalog.away = False
            await listener.answering
            assert listener.body.count(b"\nevent: ") == len(LIFE)

    run(scenario())


def test_long_outage_ends_the_stream_and_the_next_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "OUTAGE_S", 0.1)

    async def scenario() -> None:
        async with opened(tmp_path) as (catalog, app):
            media_id = await begin(catalog)
            listener = Listener(app, media_id, at_once)
            await until(lambda: b"created" in listener.body)
            catalog.away = True
            await listener.answering
            assert listener.status == 200
            refused = Listener(app, media_id, at_once)
            await refused.answering
            assert refused.status == 503
            catalog.away = False
            await go_on(catalog, media_id, *LIFE[1:])
            again = Listener(app, media_id, at_once)
            await again.answering
            assert again.body.count(b"\nevent: ") == len(LIFE)

    run(scenario())
