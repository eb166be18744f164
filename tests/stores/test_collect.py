import asyncio
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from cli.config import parse
from media.asset import Asset, AssetType, Failure, Priority, Status
from media.commit import named_objects
from media.keys import INDEX, PLAYLIST, media_prefix, package_prefix, source_key
from media.plan import Plan
from media.settings import DataSettings, Settings, WorkerSettings
from stores.catalog.base import Catalog
from stores.collect import PARALLEL_DELETIONS, Finding, collect
from stores.errors import Conflict, NotFound, Unavailable
from stores.objects.filesystem import FilesystemObjects
from stores.removal import remove_title
from stores.wiring import Stores, create_storage, make_worker, open_stores
from tests.domain.plans import make_commits, make_plan
from tests.transcoder.running import SMALL
from tests.transcoder.sources import constant, tone, write_video
from transcoder.child import Children
from transcoder.reconcile import reconcile
from transcoder.titles import Titles

HOUR_S = 3600.0
PLAN = make_plan()
OTHER = make_plan(audio=False)
STEPS = {
    Status.UPLOADING: (),
    Status.QUEUED: (Status.QUEUED,),
    Status.PROCESSING: (Status.QUEUED, Status.PROCESSING),
    Status.READY: (Status.QUEUED, Status.PROCESSING, Status.READY),
    Status.FAILED: (Status.QUEUED, Status.PROCESSING, Status.FAILED),
    Status.DELETING: (Status.DELETING,),
}


def embedded(directory: Path) -> Settings:
    return Settings(
        data=DataSettings(dir=directory / "data"),
        worker=WorkerSettings(concurrency=2),
        ffmpeg=SMALL,
    )


@pytest.fixture(params=["embedded", "aws"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Of an installation with nothing in it."""
    settings = embedded(tmp_path)
    if request.param == "aws":
        environment: dict[str, str] = request.getfixturevalue("aws")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        configured = parse(environment, tmp_path)
        sections = {name: getattr(configured, name) for name in ("aws", "redis", "signing")}
        settings = settings.model_copy(update=sections)
        asyncio.run(created(settings))
    return settings


async def created(settings: Settings) -> list[str]:
    return [name async for name in create_storage(settings)]


def asset(media_id: str, *, upload_expires_in_s: float = HOUR_S) -> Asset:
    expires_ms = int((time.time() + upload_expires_in_s) * 1000)
    return Asset(
        media_id,
        "user",
        "Title",
        "",
        AssetType.VIDEO,
        Status.UPLOADING,
        created_at_ms=1,
        updated_at_ms=1,
        upload_expires_at_ms=expires_ms,
    )


async def put(stores: Stores, keys: Iterable[str]) -> None:
    for key in keys:
        await stores.objects.put(key, b"x")


async def keys_of(stores: Stores) -> set[str]:
    return {info.key for prefix in ("source/", "v/") async for info in stores.objects.list(prefix)}


def whole_package(media_id: str, plan: Plan) -> set[str]:
    prefix = package_prefix(media_id, plan.version)
    folders = {part.name for commit in make_commits(plan) for part in commit.renditions}
    playlists = {f"{prefix}{folder}/{PLAYLIST}" for folder in folders}
    return {*named_objects(prefix, make_commits(plan)), prefix + INDEX, *playlists}


async def title(stores: Stores, media_id: str, status: Status) -> set[str]:
    """With its source and a whole package; returns their keys."""
    await stores.catalog.create(asset(media_id))
    if status is not Status.UPLOADING:
        await stores.catalog.put_plan(media_id, PLAN)
    for step in STEPS[status]:
        await stores.catalog.transition(media_id, step)
        if step is Status.PROCESSING:
            for commit in make_commits(PLAN):
                await stores.catalog.commit(media_id, PLAN.version, commit)
    keys = {source_key(media_id), *whole_package(media_id, PLAN)}
    await put(stores, keys)
    return keys


async def found(
    stores: Stores, *, dry_run: bool = False, settled_after_s: float = 0.0
) -> list[Finding]:
    findings = collect(stores, dry_run=dry_run, settled_after_s=settled_after_s)
    return [finding async for finding in findings]


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("settled_after_s", [0.0, HOUR_S])
def test_what_no_commit_names_is_removed_of_settled_titles_only(
    tmp_path: Path, status: Status, settled_after_s: float
) -> None:
    async def scenario() -> None:
        async with open_stores(embedded(tmp_path)) as stores:
            wanted = await title(stores, "m1", status)
            late = {
                f"{package_prefix('m1', PLAN.version)}720p/00000-0123456789abcdef.m4s",
                f"{package_prefix('m1', OTHER.version)}720p/00000-00.m4s",
                f"{package_prefix('m1', OTHER.version)}{INDEX}",
            }
            await put(stores, late)
            is_settled = status in (Status.READY, Status.FAILED) and not settled_after_s
            for dry_run in (True, False, False):
                before = await keys_of(stores)
                findings = await found(stores, dry_run=dry_run, settled_after_s=settled_after_s)
                expected = (late if is_settled else set()) & before
                assert {finding.what for finding in findings} == expected
                assert await keys_of(stores) == (before if dry_run else before - expected)
            assert wanted <= await keys_of(stores)

    asyncio.run(scenario())


def test_what_belongs_to_no_title_is_removed(settings: Settings) -> None:
    async def scenario() -> None:
        async with open_stores(settings) as stores:
            wanted = await title(stores, "m1", Status.READY)
            await put(stores, {source_key("gone"), *whole_package("lost", PLAN)})
            expected = {source_key("gone"), media_prefix("lost")}
            for dry_run in (True, False):
                findings = await found(stores, dry_run=dry_run, settled_after_s=HOUR_S)
                assert {finding.what for finding in findings} == expected
            assert await keys_of(stores) == wanted
            assert await found(stores) == []

    asyncio.run(scenario())


def test_upload_that_was_never_finished_is_removed(settings: Settings) -> None:
    async def scenario() -> None:
        async with open_stores(settings) as stores:
            await stores.catalog.create(asset("m1"))
            await stores.catalog.create(asset("m2", upload_expires_in_s=-1))
            await put(stores, [source_key("m1"), source_key("m2")])
            for dry_run in (True, False):
                (finding,) = await found(stores, dry_run=dry_run)
                assert finding.what == source_key("m2")
            assert await keys_of(stores) == {source_key("m1")}
            with pytest.raises(NotFound):
                await stores.catalog.get("m2")

    asyncio.run(scenario())


def test_staged_file_of_a_dead_writer_is_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(embedded(tmp_path)) as stores:
            (tmp_path / "data" / "objects" / ".tmp" / "0123").write_bytes(b"half of it")
            for dry_run in (True, False):
                (finding,) = await found(stores, dry_run=dry_run)
                assert "0123" in finding.what
            assert await found(stores) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("count", [1, 20])
def test_another_catalog_removes_nothing(tmp_path: Path, count: int) -> None:
    async def scenario() -> None:
        async with open_stores(embedded(tmp_path)) as stores:
            await put(stores, {source_key(f"m{number}") for number in range(count)})
            assert len(await found(stores, dry_run=True)) == count
            with pytest.raises(Unavailable, match="hardly the catalog of these objects"):
                await found(stores)
            assert len(await keys_of(stores)) == count

    asyncio.run(scenario())


def test_catalog_without_titles_remembers_those_that_it_had(settings: Settings) -> None:
    async def scenario() -> None:
        async with open_stores(settings) as stores:
            await stores.catalog.create(asset("m1"))
            await stores.catalog.remove("m1")
            left = {source_key("m1"), *whole_package("m1", PLAN)}
            await put(stores, {*left, source_key("m2")})
            with pytest.raises(Unavailable, match="1 keys and prefixes"):
                await found(stores)
            assert await keys_of(stores) == {source_key("m2")}

    asyncio.run(scenario())


class RetryingObjects(FilesystemObjects):
    """While an object is deleted its title is tried again."""

    catalog: Catalog

    async def delete(self, key: str) -> None:
        await super().delete(key)
        with suppress(Conflict):
            await self.catalog.transition("m1", Status.QUEUED)


def test_title_that_is_tried_again_loses_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_stores(embedded(tmp_path)) as stores:
            await title(stores, "m1", Status.FAILED)
            prefix = package_prefix("m1", PLAN.version)
            await put(stores, [f"{prefix}720p/{n:05d}-0123456789abcdef.m4s" for n in range(64)])
            objects = RetryingObjects(tmp_path / "data" / "objects")
            objects.catalog = stores.catalog
            findings = await found(replace(stores, objects=objects))
            assert len(findings) == PARALLEL_DELETIONS
            await objects.close()

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(
        tmp_path_factory.mktemp("source") / "clip.mp4",
        constant(120, 30),
        options={"preset": "ultrafast", "g": "30"},
        audio=[(Fraction(0), tone(192_000))],
    )


async def upload(stores: Stores, media_id: str, clip: Path) -> None:
    """As the API does, with time between the steps."""
    await stores.catalog.create(asset(media_id))
    async with stores.objects.writer(source_key(media_id)) as writer:
        data = clip.read_bytes()
        for start in range(0, len(data), 16_384):
            await writer.write(data[start : start + 16_384])
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    await stores.catalog.transition(media_id, Status.QUEUED)
    await stores.jobs.enqueue(media_id, Priority.NORMAL)


async def settled(stores: Stores, media_id: str) -> Asset | None:
    async with asyncio.timeout(120):
        while True:
            try:
                asset = await stores.catalog.get(media_id)
            except NotFound:
                return None
            if asset.status in (Status.READY, Status.FAILED):
                return asset
            await asyncio.sleep(0.02)


async def reconcile_now_and_then(stores: Stores) -> None:
    """As workers do: a title that is tried again just as its job ends has none."""
    while True:
        await asyncio.sleep(1)
        await reconcile(stores)


async def collect_all_the_time(stores: Stores) -> int:
    """With no mercy for what has just changed. Returns how often."""
    rounds = 0
    try:
        while True:
            await found(stores)
            rounds += 1
    except asyncio.CancelledError:
        return rounds


def test_no_title_loses_an_object_to_a_collection(settings: Settings, clip: Path) -> None:
    """While titles are uploaded, encoded, published, deleted, tried again and left by zombies."""
    chance = random.Random(3)
    media_ids = [f"m{number}" for number in range(10)]
    deleted = set(media_ids[::3])

    async def live(stores: Stores, media_id: str) -> None:
        await asyncio.sleep(chance.random())
        await upload(stores, media_id, clip)
        if media_id in deleted:
            await asyncio.sleep(chance.random() * 2)
            await remove_title(stores, media_id)
            return
        if media_id == "m1":  # its user tries it again, whatever it was doing
            await asyncio.sleep(0.5)
            failure = Failure("timeout", "it took too long", retryable=True)
            try:
                await stores.catalog.transition(media_id, Status.FAILED, {"error": failure})
                await stores.catalog.transition(media_id, Status.QUEUED, {"error": None})
            except Conflict:
                pass
            await stores.jobs.enqueue(media_id, Priority.NORMAL)
        asset = await settled(stores, media_id)
        assert asset is not None
        assert asset.status is Status.READY, asset
        prefix = package_prefix(media_id, asset.version or "")
        await put(stores, [f"{prefix}180p/00000-0123456789abcdef.m4s"])

    async def scenario() -> None:
        children = Children()
        async with open_stores(settings) as stores:
            titles = Titles(stores.objects, stores.catalog, settings, children)
            worker = make_worker(settings, titles)
            working = asyncio.create_task(worker.run())
            collecting = [asyncio.create_task(collect_all_the_time(stores)) for _ in range(2)]
            reconciling = asyncio.create_task(reconcile_now_and_then(stores))
            try:
                await asyncio.gather(*(live(stores, media_id) for media_id in media_ids))
            finally:
                for task in (reconciling, *collecting):
                    task.cancel()
                await asyncio.wait({reconciling})
                rounds = await asyncio.gather(*collecting)
                await worker.drain(20)
                await working
                await titles.close()
                children.close()
            assert min(rounds) > 3
            await found(stores)
            assert await found(stores) == []
            assert await keys_of(stores) == {
                key for m in set(media_ids) - deleted for key in await everything_of(stores, m)
            }

    asyncio.run(scenario())


async def everything_of(stores: Stores, media_id: str) -> set[str]:
    asset = await stores.catalog.get(media_id)
    assert asset.version is not None
    prefix = package_prefix(media_id, asset.version)
    commits = await stores.catalog.commits(media_id, asset.version)
    names = {part.name for commit in commits for part in commit.renditions}
    playlists = {f"{prefix}{name}/{PLAYLIST}" for name in names}
    return {
        source_key(media_id),
        prefix + INDEX,
        *playlists,
        *named_objects(prefix, commits),
    }
