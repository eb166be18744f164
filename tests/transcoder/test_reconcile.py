import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from media.asset import Asset, AssetType, Failure, Priority, Status
from media.keys import source_key
from media.settings import DataSettings, Settings, WorkerSettings
from stores.catalog.sqlite import SqliteCatalog
from stores.collect import collect
from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import JobState, Task, TaskFailed, TitleHandler
from stores.jobs.embedded import EmbeddedRedis
from stores.wiring import Stores, make_worker, open_stores
from transcoder.reconcile import PARALLEL, reconcile

HOUR_MS = 3600 * 1000


def settings(directory: Path) -> Settings:
    return Settings(data=DataSettings(dir=directory / "data"), worker=WorkerSettings(concurrency=1))


async def create(
    stores: Stores, status: Status, *, age_ms: int = 0, left_ms: int = 0, media_id: str = "m1"
) -> None:
    now_ms = int(time.time() * 1000)
    created_ms = now_ms - age_ms
    await stores.catalog.create(
        Asset(
            id=media_id,
            user_id="user",
            title="Title",
            description="",
            type=AssetType.VIDEO,
            status=status,
            created_at_ms=created_ms,
            updated_at_ms=created_ms,
            upload_expires_at_ms=now_ms + left_ms,
        )
    )
    await stores.objects.put(source_key(media_id), b"source")


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_unfinished_title_without_a_job_gets_one(tmp_path: Path, status: Status) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, status)
            await reconcile(stores)
            assert await stores.jobs.state("m1") is JobState.PENDING
            await reconcile(stores)
            assert (await stores.jobs.counts())["waiting-normal"] == 1

    asyncio.run(scenario())


def test_many_unfinished_titles_get_their_jobs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            for number in range(3 * PARALLEL // 2):
                await create(stores, Status.QUEUED, media_id=f"m{number}")
            await reconcile(stores)
            await reconcile(stores)
            assert (await stores.jobs.counts())["waiting-normal"] == 3 * PARALLEL // 2

    asyncio.run(scenario())


def test_trouble_with_one_title_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, Status.QUEUED, age_ms=1000)
            await create(stores, Status.QUEUED, media_id="m2")
            await stores.jobs.enqueue("m1", Priority.NORMAL)
            await spoil_jobs_of("m1", tmp_path)
            with pytest.raises(Unavailable):
                await stores.jobs.state("m1")
            await reconcile(stores)
            assert await stores.jobs.state("m2") is JobState.PENDING

    asyncio.run(scenario())


async def spoil_jobs_of(media_id: str, directory: Path) -> None:
    """Redis answers what concerns them with an error."""
    async with EmbeddedRedis(settings(directory).data.dir / "run").address.connect(0) as redis:
        async for key in redis.scan_iter(f"*{media_id}*"):
            await redis.delete(key)
            await redis.lpush(key, "spoilt")


class Refuser(TitleHandler):
    """Its verdict never reaches the catalog, as if the worker had died over it."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    async def plan(self, media_id: str) -> Sequence[Task]:
        raise TaskFailed(Failure("not_media", "this is a text file", retryable=False))

    async def fail(self, media_id: str, failure: Failure) -> None:
        self.failed.set()


async def fail_job(stores: Stores, directory: Path) -> None:
    await stores.jobs.enqueue("m1", Priority.NORMAL)
    handler = Refuser()
    worker = make_worker(settings(directory), handler)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(handler.failed.wait(), 20)
    await worker.drain(20)
    await running


def test_title_whose_job_failed_is_failed(tmp_path: Path) -> None:
    async def scenario() -> Asset:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, Status.QUEUED)
            await fail_job(stores, tmp_path)
            await reconcile(stores)
            return await stores.catalog.get("m1")

    asset = asyncio.run(scenario())
    assert (asset.status, asset.error) == (
        Status.FAILED,
        Failure("not_media", "this is a text file", retryable=False),
    )


@pytest.mark.parametrize(
    ("status", "left_ms", "remains"),
    [
        (Status.DELETING, HOUR_MS, False),
        (Status.UPLOADING, -1, False),
        (Status.UPLOADING, HOUR_MS, True),
        (Status.READY, -1, True),
        (Status.FAILED, -1, True),
    ],
)
def test_what_nobody_wants_is_removed(
    tmp_path: Path, status: Status, left_ms: int, remains: bool
) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, status, age_ms=1000 * HOUR_MS, left_ms=left_ms)
            await reconcile(stores)
            if remains:
                assert (await stores.catalog.get("m1")).status is status
                await stores.objects.head(source_key("m1"))
                return
            with pytest.raises(NotFound):
                await stores.catalog.get("m1")
            with pytest.raises(NotFound):
                await stores.objects.head(source_key("m1"))

    asyncio.run(scenario())


class Confirming(SqliteCatalog):
    """Clients confirm their uploads just after these were found to have expired."""

    async def list_by_status(self, statuses: Sequence[Status]) -> tuple[Asset, ...]:
        found = await super().list_by_status(statuses)
        for upload in found:
            with suppress(Conflict):
                await self.transition(upload.id, Status.QUEUED)
        return found


@pytest.mark.parametrize("by_collector", [True, False])
def test_upload_that_is_confirmed_meanwhile_is_not_lost(tmp_path: Path, by_collector: bool) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, Status.UPLOADING, left_ms=-1)
            catalog = Confirming(settings(tmp_path).data.dir / "catalog.sqlite3")
            confirming = replace(stores, catalog=catalog)
            if by_collector:
                assert [finding async for finding in collect(confirming, dry_run=False)] == []
            else:
                await reconcile(confirming)
            assert (await catalog.get("m1")).status is Status.QUEUED
            await stores.objects.head(source_key("m1"))
            await catalog.close()

    asyncio.run(scenario())


class Retrying(SqliteCatalog):
    """A title that was found unfinished has failed and is tried again by the time it is failed."""

    async def list_by_status(self, statuses: Sequence[Status]) -> tuple[Asset, ...]:
        found = await super().list_by_status(statuses)
        for asset in found:
            await self.transition(asset.id, Status.FAILED)
            await self.transition(asset.id, Status.QUEUED)
        return found


def test_title_that_is_tried_again_meanwhile_is_not_failed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(settings(tmp_path)) as stores:
            await create(stores, Status.QUEUED)
            await fail_job(stores, tmp_path)
            catalog = Retrying(settings(tmp_path).data.dir / "catalog.sqlite3")
            await reconcile(replace(stores, catalog=catalog))
            assert (await catalog.get("m1")).status is Status.QUEUED
            await catalog.close()

    asyncio.run(scenario())
