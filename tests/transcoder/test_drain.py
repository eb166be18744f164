"""A worker that is told to stop in the middle of a title, and the one that goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from media.asset import Asset, AssetType, Priority, Status
from media.keys import source_key
from media.settings import DataSettings, Settings, WorkerSettings
from stores.jobs.base import Worker
from stores.wiring import Stores, make_worker, open_stores
from tests.transcoder.running import SMALL, RecordingChildren
from tests.transcoder.sources import constant, write_video
from transcoder.titles import Titles

SLOW = SMALL.model_copy(update={"preset": "slow"})  # a chunk takes long enough to be interrupted


def settings(directory: Path) -> Settings:
    return Settings(
        data=DataSettings(dir=directory / "data"),
        worker=WorkerSettings(concurrency=1),
        ffmpeg=SLOW,
    )


@asynccontextmanager
async def worker(
    stores: Stores, directory: Path, children: RecordingChildren, *, grace_s: float
) -> AsyncIterator[Worker]:
    titles = Titles(stores.objects, stores.catalog, settings(directory), children)
    worker = make_worker(settings(directory), titles)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.drain(grace_s)
        await running
        await titles.close()
        children.close()


async def committed(stores: Stores) -> set[int]:
    plan = await stores.catalog.get_plan("m1")
    if plan is None:
        return set()
    commits = await stores.catalog.commits("m1", plan.version)
    return {int(commit.task[-5:]) for commit in commits}


@pytest.mark.parametrize("enough", [1, 2, 4])
def test_handed_back_work_is_done_once(tmp_path: Path, enough: int) -> None:
    clip = write_video(
        tmp_path / "clip.mp4",
        constant(450, 30),
        size=(640, 360),
        options={"preset": "ultrafast", "g": "30"},
    )

    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            now_ms = int(time.time() * 1000)
            asset = Asset("m1", "u", "t", "", AssetType.VIDEO, Status.QUEUED, now_ms, now_ms)
            await stores.catalog.create(asset)
            await stores.objects.put(source_key("m1"), clip.read_bytes())
            await stores.jobs.enqueue("m1", Priority.NORMAL)
            interrupted = worker(stores, tmp_path, RecordingChildren(), grace_s=0)
            async with interrupted, asyncio.timeout(60):
                while len(await committed(stores)) < enough:
                    await asyncio.sleep(0.002)
            before = await committed(stores)
            counts = await stores.jobs.counts()
            assert counts["active"] == 0
            children = RecordingChildren()
            async with worker(stores, tmp_path, children, grace_s=20), asyncio.timeout(60):
                while (await stores.catalog.get("m1")).status is not Status.READY:
                    await asyncio.sleep(0.01)
            again = {
                number
                for chunk in children.chunks
                for number in range(chunk.first_segment, chunk.first_segment + chunk.segment_count)
            }
            assert not again & before
            plan = await stores.catalog.get_plan("m1")
            assert plan is not None
            assert again | before == set(range(plan.segment_count))

    asyncio.run(scenario())
