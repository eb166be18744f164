"""A title through the worker's handler, with real stores and children but no job engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from media.asset import Asset, AssetType, Status
from media.keys import source_key
from media.plan import Chunk
from media.settings import FfmpegSettings, Profile, Settings
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Task, TaskFailed
from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects
from transcoder.child import Children
from transcoder.messages import Message
from transcoder.titles import Titles
from transcoder.work import Limits

CLIPS = Path(__file__).parent.parent / "media"
SMALL = FfmpegSettings(
    preset="ultrafast",
    profiles=(
        Profile(name="180p", width=320, height=180, videobitrate=400_000, audiobitrate=128_000),
        Profile(name="90p", width=160, height=90, videobitrate=100_000, audiobitrate=64_000),
    ),
)


class RecordingChildren(Children):
    """Remembers what it is asked to run."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[Chunk] = []

    @asynccontextmanager
    async def run(
        self, function: Callable[..., None], *arguments: object, limits: Limits
    ) -> AsyncIterator[AsyncIterator[Message]]:
        self.chunks += [argument for argument in arguments if isinstance(argument, Chunk)]
        async with super().run(function, *arguments, limits=limits) as messages:
            yield messages


@dataclass(slots=True)
class House:
    objects: ObjectStore
    catalog: SqliteCatalog
    titles: Titles
    children: Children

    async def upload(self, path: Path, media_id: str = "m1") -> str:
        await self.objects.put(source_key(media_id), path.read_bytes())
        asset = Asset(
            id=media_id,
            user_id="u",
            title=path.name,
            description="",
            type=AssetType.VIDEO,
            status=Status.UPLOADING,
            created_at_ms=1,
            updated_at_ms=1,
        )
        await self.catalog.create(asset)
        await self.catalog.transition(media_id, Status.QUEUED)
        return media_id

    async def process(self, media_id: str, slots: int = 2) -> Asset:
        """What the job engine does, minus retries."""
        limit = asyncio.Semaphore(slots)

        async def run(task: Task) -> None:
            async with limit:
                await self.titles.run(media_id, task)

        try:
            tasks = await self.titles.plan(media_id)
            async with asyncio.TaskGroup() as running:
                for task in tasks:
                    running.create_task(run(task))
            await self.titles.join(media_id)
        except* TaskFailed as group:
            first = group.exceptions[0]
            assert isinstance(first, TaskFailed)
            await self.titles.fail(media_id, first.failure)
        return await self.catalog.get(media_id)


@asynccontextmanager
async def house(
    folder: Path, ffmpeg: FfmpegSettings = SMALL, children: Children | None = None
) -> AsyncIterator[House]:
    objects = FilesystemObjects(folder / "objects")
    catalog = SqliteCatalog(folder / "catalog.sqlite3")
    children = children or Children()
    try:
        titles = Titles(objects, catalog, Settings(ffmpeg=ffmpeg), children)
        yield House(objects, catalog, titles, children)
        await titles.close()
    finally:
        children.close()
        await catalog.close()
        await objects.close()
