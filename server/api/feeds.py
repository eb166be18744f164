"""What happens to titles, for those who listen in this process: each title's event log is polled
once, however many listen to it.

A listener is a number, that of the last event it has had, and takes what follows from the newest
events that the poller keeps, or from the catalog if it has fallen behind those. So nothing is
kept for a listener, however slow it is.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from media.event import Event
from stores.catalog.base import Catalog
from stores.errors import Unavailable

POLL_S = 0.5
OUTAGE_S = 60.0  # a store that does not answer for longer ends the feed
PAGE = 100  # events read at a time, and the newest that are kept

_log = structlog.get_logger("server.events")


class FeedEnded(Exception):
    """The store has been away for too long."""


class Feed:
    """One title's events, those with higher numbers than `newest` was at first."""

    def __init__(self, catalog: Catalog, media_id: str, newest: int) -> None:
        self._catalog = catalog
        self._media_id = media_id
        self._newest = newest
        self._kept: deque[Event] = deque(maxlen=PAGE)
        self._changed = asyncio.Event()
        self.listeners = 0
        self.polling = asyncio.create_task(self._poll())
        self.polling.add_done_callback(lambda _: self._wake())

    async def after(self, number: int) -> tuple[Event, ...]:
        """Waits for events with higher numbers. Raises FeedEnded, Unavailable."""
        while self._newest <= number:
            if self.polling.done():
                self.polling.result()  # raises what nobody foresaw
                raise FeedEnded
            await self._changed.wait()
        kept = tuple(event for event in self._kept if event.number > number)
        if kept and kept[0].number == number + 1:
            return kept
        return await self._catalog.events(self._media_id, after=number, limit=PAGE)

    async def _poll(self) -> None:
        """Until it is cancelled, or the store is away for OUTAGE_S."""
        clock = asyncio.get_running_loop().time
        answered_s = clock()
        while clock() < answered_s + OUTAGE_S:
            try:
                events = await self._catalog.events(self._media_id, after=self._newest, limit=PAGE)
            except Unavailable as exc:
                _log.warning("events not read", media=self._media_id, reason=str(exc))
                events = ()
            else:
                answered_s = clock()
            if events:
                self._kept.extend(events)
                self._newest = events[-1].number
                self._wake()
            if len(events) < PAGE:
                await asyncio.sleep(POLL_S)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Feeds:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._open: dict[str, Feed] = {}

    @contextmanager
    def join(self, media_id: str, number: int) -> Iterator[Feed]:
        """For a listener that has had everything up to event `number` that there was."""
        feed = self._open.get(media_id)
        if feed is None or feed.polling.done():
            feed = self._open[media_id] = Feed(self._catalog, media_id, number)
        feed.listeners += 1
        try:
            yield feed
        finally:
            feed.listeners -= 1
            if feed.listeners == 0:
                feed.polling.cancel()
                if self._open[media_id] is feed:
                    del self._open[media_id]
