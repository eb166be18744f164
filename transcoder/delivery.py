"""From a child's messages to stored objects and commits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from media import keys
from media.commit import Commit, RenditionFacts, SegmentFacts
from stores.errors import Conflict
from stores.objects.base import ObjectStore
from transcoder.messages import InitSegment, MalformedMessage, MediaSegment, Message

PARALLEL_PUTS = 4  # also bounds the segments held in memory

OnCommit = Callable[[Commit], Awaitable[None]]


class Delivery:
    """Stores segments as they arrive and hands each on, once it is stored in all renditions.

    `prefix` is the package's, `tasks` names the commit of each segment number that is wanted.
    The names of renditions come from the plan: a child can write nowhere else, whatever it says.
    """

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        renditions: Sequence[str],
        tasks: Mapping[int, str],
        on_commit: OnCommit,
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._renditions = renditions
        self._tasks = tasks
        self._on_commit = on_commit
        self._inits: dict[str, InitSegment] = {}
        self._stored: dict[int, dict[str, SegmentFacts]] = {}
        self._slots = asyncio.Semaphore(PARALLEL_PUTS)

    async def take(self, messages: AsyncIterator[Message]) -> None:
        async with asyncio.TaskGroup() as puts:
            async for message in messages:
                match message:
                    case InitSegment():
                        await self._store_init(message)
                    case MediaSegment():
                        await self._slots.acquire()
                        puts.create_task(self._store_segment(message))
                    case _:
                        raise MalformedMessage(f"a {type(message).__name__} while encoding")

    async def _store_init(self, message: InitSegment) -> None:
        key = self._key(message.rendition, keys.init_name(message.data))
        await self._put(key, message.data)
        self._inits[message.rendition] = message

    async def _store_segment(self, message: MediaSegment) -> None:
        try:
            if message.number not in self._tasks:
                return  # committed before, by a run that did not live to the end
            facts = _facts(message)
            await self._put(self._key(message.rendition, facts.name), message.data)
        finally:
            self._slots.release()
        stored = self._stored.setdefault(message.number, {})
        stored[message.rendition] = facts
        if len(stored) == len(self._renditions):
            await self._on_commit(self._commit(message.number))

    def _key(self, rendition: str, name: str) -> str:
        if rendition not in self._renditions:
            raise MalformedMessage(f"rendition {rendition!r} is not in the plan")
        return f"{self._prefix}{rendition}/{name}"

    async def _put(self, key: str, data: bytes) -> None:
        """The key holds the hash of the content: if it exists, these bytes are there already."""
        with contextlib.suppress(Conflict):
            await self._objects.put_if(key, data, etag=None)

    def _commit(self, number: int) -> Commit:
        stored = self._stored.pop(number)
        return Commit(
            task=self._tasks[number],
            renditions=tuple(
                RenditionFacts(
                    name=name,
                    init_name=keys.init_name(self._inits[name].data),
                    codecs=self._inits[name].codecs,
                    timescale=self._inits[name].timescale,
                    segments=(stored[name],),
                )
                for name in self._renditions
            ),
        )


def _facts(message: MediaSegment) -> SegmentFacts:
    return SegmentFacts(
        number=message.number,
        name=keys.segment_name(message.number, message.data),
        decode_time=message.decode_time,
        duration=message.duration,
        size=len(message.data),
        sample_count=message.sample_count,
        starts_with_idr=message.starts_with_idr,
    )
