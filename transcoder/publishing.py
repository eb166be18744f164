"""Making committed segments visible.

While a viewer could run out of segments, each commit is published at once. Later a title is
published once per segment's duration at most: players do not look at a growing playlist more
often, and a playlist of hours is written whole each time.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from media.asset import Asset, RenditionInfo, Status
from media.commit import Commit
from media.keys import INDEX
from media.plan import Plan
from media.publish import Committed, Publication, Rank, publication, rank
from stores import tracing
from stores.catalog.base import Catalog
from stores.errors import Conflict, NotFound, Unavailable
from stores.objects.base import ObjectStore
from transcoder.metrics import WorkerMetrics
from transcoder.waited import since_queued_s

log = structlog.stdlib.get_logger(__name__)

PLENTY_S = 60
MOST_SEGMENTS_KNOWN = 200_000  # of all titles together: some 60 MB


@dataclass(frozen=True, slots=True)
class Stored:
    """A playlist as it was last seen in the store."""

    etag: str | None
    rank: Rank


NOTHING = Stored(None, (False, -1))


@dataclass(slots=True, eq=False)
class _Title:
    committed: Committed
    stored: dict[str, Stored] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0  # how often, and up to which of these it has been published
    answered: int = 0
    due: float = 0.0  # on the loop's clock: not to be published before
    later: asyncio.Task[None] | None = None

    def wait_s(self) -> float:
        return max(0.0, self.due - asyncio.get_running_loop().time())


class Publisher:
    """Of one worker. Any number of them may publish a title at once, in any order: each file
    only ever advances, and the last of them leaves everything shown."""

    def __init__(
        self, objects: ObjectStore, catalog: Catalog, metrics: WorkerMetrics, *, pause_s: float
    ) -> None:
        self._metrics = metrics
        self._objects = objects
        self._catalog = catalog
        self._pause_s = pause_s
        self._titles: dict[str, _Title] = {}  # the one that was asked for last comes last

    async def publish(self, media_id: str, plan: Plan) -> None:
        """Show what is committed by now: at once, or soon if viewers have plenty."""
        title = self._title(media_id, plan)
        title.asked += 1
        if title.wait_s() <= 0:
            await self._publish(title)
        elif title.later is None:
            title.later = asyncio.create_task(self._publish_later(title))

    async def publish_final(
        self, media_id: str, plan: Plan, commits: Sequence[Commit]
    ) -> tuple[RenditionInfo, ...]:
        """A package that is complete and verified."""
        self._titles.pop(media_id, None)
        with self._measured(media_id):
            shown = await asyncio.to_thread(publication, media_id, plan, commits, final=True)
            await write_files(self._objects, shown, {})
        return shown.renditions

    async def close(self) -> None:
        """What was to be published later is left to whoever goes on with the title."""
        waiting = [title.later for title in self._titles.values() if title.later is not None]
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)

    def _title(self, media_id: str, plan: Plan) -> _Title:
        title = self._titles.pop(media_id, None)
        if title is None or title.committed.plan != plan:
            title = _Title(Committed(media_id, plan))
        self._forget_oldest()
        self._titles[media_id] = title
        return title

    def _forget_oldest(self) -> None:
        known = sum(title.committed.size() for title in self._titles.values())
        for media_id, title in list(self._titles.items()):
            if known <= MOST_SEGMENTS_KNOWN:
                return
            if title.later is None and not title.lock.locked():
                known -= title.committed.size()
                del self._titles[media_id]

    async def _publish_later(self, title: _Title) -> None:
        """And again, if more is asked for in the meantime."""
        try:
            while title.answered < title.asked:
                await asyncio.sleep(title.wait_s())
                try:
                    await self._publish(title)
                except Unavailable as error:
                    media_id = title.committed.media_id
                    log.warning("publishing waits for a store", media=media_id, reason=str(error))
                    await asyncio.sleep(self._pause_s)
        finally:
            title.later = None

    async def _publish(self, title: _Title) -> None:
        asked = title.asked
        async with title.lock:
            if title.answered >= asked:
                return  # by another that began after this one was called
            asked = title.asked
            with contextlib.suppress(Conflict, NotFound):  # being deleted
                asset = await self._worked_on(title.committed)
                if asset is not None:
                    with self._measured(asset.id):
                        await self._show(title, asset)
            title.answered = asked

    async def _worked_on(self, known: Committed) -> Asset | None:
        """Nobody waits for a publisher before the title's objects are deleted, or it is planned
        anew."""
        asset = await self._catalog.get(known.media_id)
        worked_on = asset.status is Status.PROCESSING and asset.version == known.plan.version
        return asset if worked_on else None

    async def _show(self, title: _Title, before: Asset) -> None:
        await self._learn(title)
        shown = await asyncio.to_thread(title.committed.publication)  # of hours: many lines
        await write_files(self._objects, shown, title.stored)
        if shown.duration_s >= PLENTY_S:
            title.due = asyncio.get_running_loop().time() + self._pause_s
        after = await self._catalog.update(
            title.committed.media_id,
            {
                "playable": shown.playable,
                "progress": shown.progress,
                "renditions": shown.renditions,
            },
        )
        if after.playable and not before.playable:  # two workers may both be the first, rarely
            waited_s = await since_queued_s(self._catalog, after)
            if waited_s is not None:
                self._metrics.playable.observe(waited_s)

    @contextlib.contextmanager
    def _measured(self, media_id: str) -> Iterator[None]:
        with tracing.span("publish", {tracing.MEDIA: media_id}), self._metrics.publish.time():
            yield

    async def _learn(self, title: _Title) -> None:
        known = title.committed
        if not known.learn(await self._commits(known)):
            known = title.committed = Committed(known.media_id, known.plan)
            known.learn(await self._commits(known))

    async def _commits(self, known: Committed) -> list[Commit]:
        found: list[Commit] = []
        for kind, start in known.starts().items():
            found += await self._catalog.commits(
                known.media_id, known.plan.version, kind=kind, start=start
            )
        return found


async def write_files(objects: ObjectStore, shown: Publication, stored: dict[str, Stored]) -> None:
    """The multivariant playlist after those that it names. `stored` saves reading what the
    caller has seen before, and is brought up to date."""

    async def write(key: str, text: str) -> None:
        stored[key] = await _advanced(objects, key, text, stored.get(key))

    await asyncio.gather(*(write(*file) for file in shown.files if not file[0].endswith(INDEX)))
    for file in shown.files:
        if file[0].endswith(INDEX):
            await write(*file)


async def _advanced(objects: ObjectStore, key: str, text: str, seen: Stored | None) -> Stored:
    """Compare and swap, until this text or one that is further on is what the store has."""
    wanted = rank(text)
    while True:
        current = seen or await _read(objects, key)
        if current.rank >= wanted:
            return current
        try:
            info = await objects.put_if(key, text.encode(), etag=current.etag)
        except Conflict:
            seen = None  # somebody else advanced it: each turn of the loop is another's success
        else:
            return Stored(info.etag, wanted)


async def _read(objects: ObjectStore, key: str) -> Stored:
    try:
        data, info = await objects.get(key)
    except NotFound:
        return NOTHING
    return Stored(info.etag, rank(data.decode()))
