"""From a child's messages to stored objects and commits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from media import keys
from media.commit import Commit, RenditionFacts, SegmentFacts
from media.plan import Chunk
from stores.errors import Conflict
from stores.objects.base import ObjectStore
from transcoder.messages import InitSegment, MalformedMessage, MediaSegment, Message

PARALLEL_PUTS = 4  # also bounds the segments held in memory

OnCommit = Callable[[Commit], Awaitable[None]]


@dataclass(slots=True)
class Span:
    """Segments that are committed together: all of them in all renditions."""

    task: str
    chunk: Chunk
    stored: dict[str, dict[int, SegmentFacts]] = field(default_factory=dict)

    def covers(self, number: int) -> bool:
        return 0 <= number - self.chunk.first_segment < self.chunk.segment_count

    def is_complete(self, renditions: Sequence[str]) -> bool:
        return all(
            len(self.stored.get(name, ())) == self.chunk.segment_count for name in renditions
        )


class Delivery:
    """Stores segments as they arrive and hands each span on, once it is stored completely.

    `prefix` is the package's. The names of renditions come from the plan and the numbers from
    the spans: a child can write nowhere else, whatever it says.
    """

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        renditions: Sequence[str],
        spans: Sequence[Span],
        on_commit: OnCommit,
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._renditions = renditions
        self._spans = spans
        self._on_commit = on_commit
        self._inits: dict[str, InitSegment] = {}
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
            span = next((span for span in self._spans if span.covers(message.number)), None)
            if span is None:
                return  # committed before, by a run that did not live to the end
            facts = _facts(message)
            await self._put(self._key(message.rendition, facts.name), message.data)
        finally:
            self._slots.release()
        span.stored.setdefault(message.rendition, {})[message.number] = facts
        if span.is_complete(self._renditions):
            await self._on_commit(self._commit(span))

    def _key(self, rendition: str, name: str) -> str:
        if rendition not in self._renditions:
            raise MalformedMessage(f"rendition {rendition!r} is not in the plan")
        return f"{self._prefix}{rendition}/{name}"

    async def _put(self, key: str, data: bytes) -> None:
        """The key holds the hash of the content: if it exists, these bytes are there already."""
        with contextlib.suppress(Conflict):
            await self._objects.put_if(key, data, etag=None)

    def _commit(self, span: Span) -> Commit:
        return Commit(
            task=span.task,
            renditions=tuple(
                RenditionFacts(
                    name=name,
                    init_name=keys.init_name(self._inits[name].data),
                    codecs=self._inits[name].codecs,
                    timescale=self._inits[name].timescale,
                    segments=tuple(facts for _, facts in sorted(span.stored[name].items())),
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
