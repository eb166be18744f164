import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from media.asset import Asset, AssetType, Status
from media.commit import Commit
from media.keys import INDEX, PLAYLIST, package_prefix
from media.plan import Plan
from media.playlists import START_AT_BEGINNING
from media.publish import Publication, publication
from media.settings import Settings
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import NotFound, Unavailable
from stores.objects.base import ObjectInfo
from stores.objects.filesystem import FilesystemObjects
from tests.domain.plans import make_commits, make_plan
from transcoder.metrics import WorkerMetrics
from transcoder.publishing import PLENTY_S, Publisher, write_files

KEY = "v/m1/abc/720p/playlist.m3u8"
NEVER_S = 3600.0


def growing(count: int) -> Publication:
    text = f"#EXTM3U\n{START_AT_BEGINNING}\n" + "#EXTINF:6,\nsegment\n" * count
    return Publication(((KEY, text),), 6.0 * count, True, False, 0.5, ())


FINAL = Publication(
    ((KEY, "#EXTM3U\n" + "#EXTINF:6,\nsegment\n" * 20),), 120.0, True, True, 1.0, ()
)


@pytest.mark.parametrize("seed", range(5))
def test_publishers_in_any_order_converge(tmp_path: Path, seed: int) -> None:
    publications = [growing(count) for count in range(1, 21)]
    random.Random(seed).shuffle(publications)

    async def scenario() -> bytes:
        objects = FilesystemObjects(tmp_path)
        try:
            await asyncio.gather(*(write_files(objects, shown, {}) for shown in publications))
            data, _ = await objects.get(KEY)
            return data
        finally:
            await objects.close()

    assert asyncio.run(scenario()).decode() == growing(20).files[0][1]


def test_final_playlist_is_never_taken_back(tmp_path: Path) -> None:
    async def scenario() -> str:
        objects = FilesystemObjects(tmp_path)
        try:
            for shown in (growing(3), FINAL, growing(20), FINAL):
                await write_files(objects, shown, {})
            _, first = await objects.get(KEY)
            await write_files(objects, growing(20), {})
            data, second = await objects.get(KEY)
            assert first.etag == second.etag
            return data.decode()
        finally:
            await objects.close()

    assert asyncio.run(scenario()) == FINAL.files[0][1]
    assert INDEX not in {path.name for path in tmp_path.rglob("*")}


class CountingObjects(FilesystemObjects):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.counts: Counter[str] = Counter()
        self.is_away = False

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        data, info = await super().get(key)
        self.counts.update({"objects read": 1, "bytes read": len(data)})
        return data, info

    async def put_if(self, key: str, data: bytes, *, etag: str | None) -> ObjectInfo:
        if self.is_away:
            self.counts["refused"] += 1
            raise Unavailable("the disk is full")
        info = await super().put_if(key, data, etag=etag)
        self.counts.update({"objects written": 1, "bytes written": len(data)})
        return info


class CountingCatalog(SqliteCatalog):
    def __init__(self, path: Path) -> None:
        super().__init__(path, webhooks=False)
        self.counts: Counter[str] = Counter()
        self.answering = asyncio.Event()
        self.answering.set()

    async def update(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        self.counts["updates"] += 1
        await self.answering.wait()
        return await super().update(media_id, changes)

    async def commits(
        self, media_id: str, version: str, *, kind: str = "", start: int = 0
    ) -> tuple[Commit, ...]:
        found = await super().commits(media_id, version, kind=kind, start=start)
        self.counts.update({"queries": 1, "commits read": len(found)})
        return found


@dataclass(slots=True)
class Here:
    objects: CountingObjects
    catalog: CountingCatalog
    plan: Plan
    publishers: list[Publisher]
    metrics: WorkerMetrics

    def publisher(self, *, pause_s: float = NEVER_S) -> Publisher:
        self.publishers.append(Publisher(self.objects, self.catalog, self.metrics, pause_s=pause_s))
        return self.publishers[-1]

    async def commit(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            assert await self.catalog.commit("m1", self.plan.version, commit)

    async def listed(self, rendition: str = "720p") -> int:
        """Segments in a rendition's playlist."""
        key = f"{package_prefix('m1', self.plan.version)}{rendition}/{PLAYLIST}"
        try:
            data, _ = await FilesystemObjects.get(self.objects, key)
        except NotFound:
            return 0
        return data.count(b"#EXTINF")


@asynccontextmanager
async def title(folder: Path, plan: Plan) -> AsyncIterator[Here]:
    objects = CountingObjects(folder / "objects")
    catalog = CountingCatalog(folder / "catalog.sqlite3")
    here = Here(objects, catalog, plan, [], WorkerMetrics(Settings()))
    asset = Asset("m1", "u", "t", "", AssetType.VIDEO, Status.QUEUED, 1, 1)
    try:
        await catalog.create(asset)
        await catalog.put_plan("m1", plan)
        await catalog.transition("m1", Status.PROCESSING)
        yield here
    finally:
        for publisher in here.publishers:
            await publisher.close()
        await catalog.close()
        await objects.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.005)


def test_each_commit_is_shown_at_once_while_there_is_little(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 120)
    commits = sorted(make_commits(plan), key=lambda commit: commit.task)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher()
            audio = [c for c in commits if c.task.startswith("audio")]
            video = [c for c in commits if c.task.startswith("video")]
            await here.commit(audio)
            for count, commit in enumerate(video, 1):
                before = publication("m1", plan, [*audio, *video[: count - 1]]).duration_s
                await here.commit([commit])
                await publisher.publish("m1", plan)
                assert (await here.listed() == count) is (before < PLENTY_S)

    asyncio.run(scenario())


def test_what_has_to_wait_is_shown_soon(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 300)
    commits = make_commits(plan)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher(pause_s=2.0)
            await here.commit(commits[:-20])
            await publisher.publish("m1", plan)
            shown = await here.listed()
            await here.commit(commits[-20:])
            await publisher.publish("m1", plan)
            assert await here.listed() == shown < plan.segment_count
            here.objects.is_away = True
            await until(lambda: here.objects.counts["refused"] > 2)
            here.objects.is_away = False
            async with asyncio.timeout(120):
                while (asset := await here.catalog.get("m1")).progress < 1:
                    await asyncio.sleep(0.01)
            assert asset.playable
            assert await here.listed() == plan.segment_count

    asyncio.run(scenario())


def test_what_comes_while_it_is_published_is_shown_soon(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 300)
    commits = make_commits(plan)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher(pause_s=1.0)
            await here.commit(commits[:-20])
            await publisher.publish("m1", plan)
            here.catalog.answering.clear()
            await here.commit(commits[-20:-1])
            await publisher.publish("m1", plan)
            await until(lambda: here.catalog.counts["updates"] == 2)
            await here.commit(commits[-1:])
            await publisher.publish("m1", plan)
            here.catalog.answering.set()
            async with asyncio.timeout(120):
                while (await here.catalog.get("m1")).progress < 1:
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [Status.DELETING, Status.FAILED])
def test_nothing_is_shown_of_a_title_that_is_not_worked_on(tmp_path: Path, status: Status) -> None:
    """A publisher that waits for its time does not stop with the title's tasks."""
    plan = make_plan(frames=30 * 40)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            await here.commit(make_commits(plan))
            await here.catalog.transition("m1", status)
            before = await here.catalog.get("m1")
            await here.publisher().publish("m1", plan)
            assert [info async for info in here.objects.list("v/")] == []
            assert await here.catalog.get("m1") == before

    asyncio.run(scenario())


def test_progress_counts_what_cannot_be_shown_yet(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 40)
    commits = [c for c in make_commits(plan) if c.task != "video-00001"]

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher()
            for part in (commits[:3], commits[3:]):
                await here.commit(part)
                await publisher.publish("m1", plan)
            assert await here.listed() == 1
            expected = publication("m1", plan, commits).progress
            assert (await here.catalog.get("m1")).progress == expected < 1

    asyncio.run(scenario())


def test_title_begun_anew_shows_nothing_of_its_earlier_life(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 40)
    commits = make_commits(plan)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher()
            await here.commit(commits[:10])
            await publisher.publish("m1", plan)
            await here.catalog.transition("m1", Status.FAILED)
            await here.catalog.forget_plan("m1")
            await here.catalog.transition("m1", Status.QUEUED)
            await here.catalog.put_plan("m1", plan)
            await here.catalog.transition("m1", Status.PROCESSING)
            await here.commit(commits[:4])
            await publisher.publish("m1", plan)
            expected = publication("m1", plan, commits[:4])
            asset = await here.catalog.get("m1")
            assert (asset.progress, asset.renditions) == (expected.progress, expected.renditions)

    asyncio.run(scenario())


def test_one_that_is_cancelled_holds_up_no_other(tmp_path: Path) -> None:
    plan = make_plan(frames=30 * 40)

    async def scenario() -> None:
        async with title(tmp_path, plan) as here:
            publisher = here.publisher()
            for number, commit in enumerate(make_commits(plan)):
                await here.commit([commit])
                calls = [asyncio.create_task(publisher.publish("m1", plan)) for _ in range(4)]
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                calls[number % 4].cancel()
                calls[(number + 1) % 4].cancel()
                await asyncio.wait(calls)
            assert await here.listed() == plan.segment_count

    asyncio.run(scenario())


def test_ten_hours_cost_no_more_per_commit_than_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers, each twelve segments ahead of the other now and then."""
    plan = replace(make_plan(frames=30 * 36_000, audio=False), segment_duration_s=10)
    commits = list(make_commits(plan))
    assert len(commits) > 3600
    chance = random.Random(1)
    for start in range(0, len(commits), 12):
        part = commits[start : start + 12]
        chance.shuffle(part)
        commits[start : start + 12] = part

    async def scenario() -> Counter[str]:
        async with title(tmp_path, plan) as here:
            workers = [here.publisher(pause_s=0.3) for _ in range(2)]
            for number, commit in enumerate(commits):
                await here.commit([commit])
                await workers[number % 2].publish("m1", plan)
            async with asyncio.timeout(60):
                while await here.listed() < plan.segment_count:
                    await asyncio.sleep(0.01)
            return here.objects.counts + here.catalog.counts

    counts = asyncio.run(scenario())
    with capsys.disabled():
        per_commit = ", ".join(f"{n / len(commits):.3g} {what}" for what, n in counts.items())
        print(f"\n10 hours, {len(commits)} commits, per commit: {per_commit}")
    assert counts["queries"] <= len(commits) * len(plan.video.rungs if plan.video else ())
    assert counts["commits read"] <= 20 * len(commits)
    assert counts["objects read"] + counts["objects written"] <= 4 * len(commits)
