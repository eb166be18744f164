"""A title's event log as server-sent events (WHATWG HTML, section 9.2), numbered as in the log, so
that a client that was away goes on where it was.

A stream ends when everything has been told of a title that is ready, failed or deleted. An
EventSource then asks again, and is told with a 204 that there is no more, which ends it too; a
title that was retried meanwhile goes on being told.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from media.asset import Asset, Status
from media.event import Event
from server.api.bodies import TitleEvent, event_body
from server.api.feeds import PAGE, Feed, FeedEnded, Feeds
from server.api.operations import Gives, Operation, user_id
from server.api.stopping import Stopping
from server.api.titles import own_title
from server.problems import InvalidFields, ServerStopping, TitleNotFound, TooManyListeners
from stores.catalog.base import Catalog
from stores.errors import Unavailable

MAX_LISTENERS = 1000  # in this process; each holds one of its connections
MAX_LISTENERS_OF_USER = 100
HEARTBEAT_S = 15.0  # proxies end what is silent for a minute, some for half of one
WRITE_TIMEOUT_S = 20.0
ENDED = frozenset({Status.READY, Status.FAILED, Status.DELETING})
HEADER = "Last-Event-ID"
QUERY = "after"
MAX_DIGITS = 9
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold events back

_HEARTBEAT = b":\n\n"
_OPENING = b"retry: 2000\n\n"  # ms before an EventSource asks again
_NUMBER: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": 10**MAX_DIGITS - 1}

_log = structlog.get_logger("server.events")

Frames = AsyncGenerator[bytes, None]


class Events:
    def __init__(self, catalog: Catalog, stopping: Stopping) -> None:
        self._catalog = catalog
        self._stopping = stopping
        self._feeds = Feeds(catalog)
        self._listeners = _Listeners()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/api/v1/media/{id}/events",
                self.follow_media,
                "Follow a title as server-sent events, from its first on or after the one named",
                Gives(
                    200,
                    "Events whose `id` is their number, whose `event` is their kind and whose "
                    "`data` is such an object. Ends once the title is ready, failed or deleted.",
                    TitleEvent,
                    media_type="text/event-stream",
                ),
                otherwise=Gives(204, "You know it all; there is no more.", media_type=None),
                query={QUERY: {**_NUMBER, "description": f"As {HEADER}, which wins."}},
                headers={HEADER: {**_NUMBER, "description": "The last event that you have had."}},
                problems=(TitleNotFound, InvalidFields, TooManyListeners, Unavailable),
                bounded=False,
            )
        ]

    async def follow_media(self, request: Request) -> Response:
        user = user_id(request)
        field, number = _last_event(request)
        asset = await own_title(self._catalog, request)
        if number > asset.events:
            raise InvalidFields({field: f"the title has had {asset.events} events so far"})
        page = await self._catalog.events(asset.id, after=number, limit=PAGE)
        if not page and asset.status in ENDED:
            return Response(status_code=204, headers=HEADERS)
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type=_Stream.media_type)
        self._listeners.enter(user)
        frames = self._tell(asset, number, page)
        return _Stream(frames, self._stopping, on_end=lambda: self._listeners.leave(user))

    async def _tell(self, asset: Asset, number: int, page: tuple[Event, ...]) -> Frames:
        """What follows event `number`; of the log's rest a first `page` has been read."""
        status = asset.status
        yield _OPENING
        try:
            while page:
                yield _frames(page)
                number, status = page[-1].number, page[-1].status
                page = await self._catalog.events(asset.id, after=number, limit=PAGE)
            if status in ENDED:
                return
            with self._feeds.join(asset.id, number) as feed:
                while status not in ENDED:
                    page = await _next(feed, number)
                    yield _frames(page) or _HEARTBEAT
                    if page:
                        number, status = page[-1].number, page[-1].status
        except (FeedEnded, Unavailable) as exc:  # the client may go on where it was
            _log.error("listener left without events", media=asset.id, reason=repr(exc))


async def _next(feed: Feed, number: int) -> tuple[Event, ...]:
    """Empty after HEARTBEAT_S in which nothing happened."""
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            return await feed.after(number)
    except TimeoutError:
        return ()


def _frames(events: Iterable[Event]) -> bytes:
    return b"".join(
        b"id: %d\nevent: %b\ndata: %b\n\n"
        % (event.number, event.kind.encode(), event_body(event).model_dump_json().encode())
        for event in events
    )


def _last_event(request: Request) -> tuple[str, int]:
    """Which number the client has had, and where it says so."""
    field, text = HEADER, request.headers.get(HEADER)
    if text is None:
        field, text = QUERY, request.query_params.get(QUERY, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InvalidFields({field: "expected the number of an event"})
    return field, int(text)


class _Listeners:
    """How many streams are open, by user."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, user: str) -> None:
        if self._open.total() >= MAX_LISTENERS:
            raise TooManyListeners(f"This server tells {MAX_LISTENERS} listeners at a time.")
        if self._open[user] >= MAX_LISTENERS_OF_USER:
            raise TooManyListeners(f"{MAX_LISTENERS_OF_USER} of your listeners are connected.")
        self._open[user] += 1

    def leave(self, user: str) -> None:
        self._open[user] -= 1
        if not self._open[user]:
            del self._open[user]


class _Stream(StreamingResponse):
    """Ends when the server stops, and when the client has not read for WRITE_TIMEOUT_S."""

    media_type = "text/event-stream"

    def __init__(self, frames: Frames, stopping: Stopping, on_end: Callable[[], None]) -> None:
        super().__init__(frames, headers=HEADERS)
        self._frames = frames
        self._stopping = stopping
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            with suppress(ServerStopping):
                async with self._stopping.interruptible(), aclosing(self._frames) as frames:
                    async for frame in frames:
                        await _send_body(send, frame, more=True)
            await _send_body(send, b"", more=False)
        except TimeoutError:
            _log.info("listener does not read")


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
