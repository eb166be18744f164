import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from media.asset import Asset, AssetType, Failure, Priority, Status
from media.keys import media_prefix, source_key
from media.settings import DataSettings, Settings, WorkerSettings
from stores.errors import Conflict, NotFound
from stores.jobs.base import JobState, Task, TitleHandler
from stores.removal import remove_abandoned, remove_title
from stores.wiring import Stores, make_worker, open_stores


class Writer(TitleHandler):
    """Writes objects until it is stopped, and one more on the way out."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.working = asyncio.Event()

    async def plan(self, media_id: str) -> Sequence[Task]:
        return [Task("video-00000", 0), Task("video-00001", 1), Task("video-00002", 2)]

    async def run(self, media_id: str, task: Task) -> None:
        key = f"{media_prefix(media_id)}{task.name}"
        try:
            while True:
                await self._stores.objects.put(key, b"segment")
                self.working.set()
                await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0.2)
            await self._stores.objects.put(f"{key}-late", b"segment")

    async def fail(self, media_id: str, failure: Failure) -> None:
        raise AssertionError(failure)


def settings(directory: Path) -> Settings:
    return Settings(data=DataSettings(dir=directory / "data"), worker=WorkerSettings(concurrency=2))


@contextlib.asynccontextmanager
async def title(directory: Path, status: Status) -> AsyncIterator[Stores]:
    """`m1` with a source and a segment, beside `m2`."""
    async with open_stores(settings(directory)) as stores:
        for media_id in ("m1", "m2"):
            asset = Asset(
                media_id,
                "user",
                "Title",
                "",
                AssetType.VIDEO,
                status,
                created_at_ms=1,
                updated_at_ms=1,
            )
            await stores.catalog.create(asset)
            await stores.objects.put(source_key(media_id), b"source")
            await stores.objects.put(f"{media_prefix(media_id)}v/index.m3u8", b"playlist")
        yield stores


async def assert_only_m2_is_left(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.catalog.get("m1")
    assert await stores.jobs.state("m1") is JobState.MISSING
    assert (await stores.catalog.get("m2")).status is not Status.DELETING
    keys = {info.key for prefix in ("source/", "v/") async for info in stores.objects.list(prefix)}
    assert keys == {source_key("m2"), f"{media_prefix('m2')}v/index.m3u8"}


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DELETING])
def test_a_title_is_removed_from_every_store(tmp_path: Path, status: Status) -> None:
    async def scenario() -> None:
        async with title(tmp_path, status) as stores:
            await remove_title(stores, "m1")
            await assert_only_m2_is_left(stores)
            with pytest.raises(NotFound):
                await remove_title(stores, "m1")

    asyncio.run(scenario())


def test_a_removal_that_died_is_finished_by_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with title(tmp_path, Status.QUEUED) as stores:
            await stores.jobs.enqueue("m1", Priority.NORMAL)
            await stores.catalog.transition("m1", Status.DELETING)
            await stores.objects.delete(source_key("m1"))
            await remove_title(stores, "m1")
            await assert_only_m2_is_left(stores)

    asyncio.run(scenario())


@pytest.mark.parametrize("confirmed", [True, False])
def test_upload_whose_client_came_back_is_not_removed(tmp_path: Path, confirmed: bool) -> None:
    async def scenario() -> None:
        async with title(tmp_path, Status.UPLOADING) as stores:
            found = await stores.catalog.get("m1")
            if confirmed:
                await stores.catalog.transition("m1", Status.QUEUED)
            else:
                await stores.catalog.update("m1", {"upload_expires_at_ms": 2})
            with pytest.raises(Conflict):
                await remove_abandoned(stores, found)
            assert (await stores.catalog.get("m1")).status is not Status.DELETING
            await stores.objects.head(source_key("m1"))
            await remove_abandoned(stores, await stores.catalog.get("m2"))
            with pytest.raises(NotFound):
                await stores.catalog.get("m2")

    asyncio.run(scenario())


def test_nothing_is_written_after_the_removal_of_a_title_in_work(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with title(tmp_path, Status.PROCESSING) as stores:
            handler = Writer(stores)
            worker = make_worker(settings(tmp_path), handler)
            running = asyncio.create_task(worker.run())
            await stores.jobs.enqueue("m1", Priority.NORMAL)
            await handler.working.wait()
            await remove_title(stores, "m1")
            await worker.drain(10)
            await running
            await assert_only_m2_is_left(stores)

    asyncio.run(scenario())
