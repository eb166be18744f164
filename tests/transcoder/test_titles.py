import asyncio
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import psutil
import pytest

from media.asset import Asset, Failure, Status
from media.commit import Commit
from media.keys import INDEX, PLAYLIST, init_name, package_prefix, segment_name, source_key
from media.plan import Chunk, Plan
from media.publish import publication
from media.settings import Settings
from stores.errors import NotFound, Unavailable
from stores.jobs.base import Task, TaskFailed
from stores.objects.base import Source
from stores.objects.filesystem import FilesystemObjects
from tests.transcoder.encoding import planned
from tests.transcoder.failing import FailingSource
from tests.transcoder.running import CLIPS, SMALL, House, RecordingChildren, house
from tests.transcoder.sources import constant, tone, write_video
from transcoder import encoder
from transcoder.messages import Opened
from transcoder.titles import Titles
from transcoder.work import Limits


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "clip.mp4"
    return write_video(
        path,
        constant(300, 30),
        options={"preset": "ultrafast", "g": "30"},
        audio=[(Fraction(0), tone(480_000))],
    )


async def plan_of(here: House) -> Plan:
    plan = await here.catalog.get_plan("m1")
    assert plan is not None
    return plan


async def listed(here: House) -> dict[str, int]:
    """Every object of the package that a playlist names, and the playlists."""
    plan = await plan_of(here)
    prefix = package_prefix("m1", plan.version)
    return {info.key.removeprefix(prefix): info.size async for info in here.objects.list(prefix)}


def test_title_becomes_ready(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            asset = await here.process(await here.upload(clip))
            assert (asset.status, asset.error) == (Status.READY, None)
            assert (asset.playable, asset.progress, asset.duration_s) == (True, 1.0, 10.0)
            assert asset.source is not None
            assert (asset.source.video_codec, asset.source.audio_codec) == ("h264", "aac")
            assert [r.name for r in asset.renditions] == ["180p", "90p", "audio"]
            await check_package(here)

    asyncio.run(scenario())


async def check_package(here: House) -> None:
    """The store has exactly what the final playlists name, each under its content's name."""
    plan = await plan_of(here)
    prefix = package_prefix("m1", plan.version)
    commits = await here.catalog.commits("m1", plan.version)
    final = dict(publication("m1", plan, commits, final=True).files)
    named = set(final)
    for key, text in final.items():
        data, _ = await here.objects.get(key)
        assert data.decode() == text
        folder = key.removesuffix(PLAYLIST)
        for commit in commits:
            for part in commit.renditions:
                if folder == f"{prefix}{part.name}/":
                    named |= {folder + part.init_name} | {folder + s.name for s in part.segments}
    assert named == {info.key async for info in here.objects.list(prefix)}
    for key in named - set(final):
        data, _ = await here.objects.get(key)
        name = key.rsplit("/")[-1]
        is_init = name.startswith("init-")
        assert name == (init_name(data) if is_init else segment_name(int(name[:5]), data))


def test_title_says_what_it_lacks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            asset = await here.process(await here.upload(CLIPS / "bad-missing-stsd.mp4"))
            assert (asset.status, len(asset.warnings)) == (Status.READY, 1)
            assert "sound" in asset.warnings[0]

    asyncio.run(scenario())


def test_children_lost_with_the_fork_server_cost_no_attempt(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = {task.name: task for task in await here.titles.plan(media_id)}
            running = asyncio.create_task(here.titles.run(media_id, tasks["video-00000"]))
            (server,) = [
                process
                for process in psutil.Process().children()
                if "transcoder.forkserver" in process.cmdline()
            ]
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
            while not children.read_text():  # at every turn: the child may be quick
                assert not running.done()
                await asyncio.sleep(0)
            server.kill()
            await running
            assert (await here.catalog.get(media_id)).progress > 0

    asyncio.run(scenario())


def test_every_step_may_run_twice(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            assert await here.titles.plan(media_id) == tasks
            for task in [*tasks, *tasks]:
                await here.titles.run(media_id, task)
            await here.titles.join(media_id)
            await here.titles.join(media_id)
            assert await here.titles.plan(media_id) == ()
            assert (await here.catalog.get(media_id)).status is Status.READY
            await check_package(here)

    asyncio.run(scenario())


def test_same_task_twice_at_once_is_in_the_title_once(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            for task in tasks:
                await asyncio.gather(*(here.titles.run(media_id, task) for _ in range(2)))
            await here.titles.join(media_id)
            assert (await here.catalog.get(media_id)).status is Status.READY
            await check_package(here)

    asyncio.run(scenario())


def test_title_is_playable_before_it_is_complete(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = {task.name: task for task in await here.titles.plan(media_id)}
            assert min(tasks.values(), key=lambda task: task.urgency).urgency == 0
            await here.titles.run(media_id, tasks["audio"])
            assert not (await here.catalog.get(media_id)).playable
            await here.titles.run(media_id, tasks["video-00000"])
            asset = await here.catalog.get(media_id)
            assert asset.playable
            assert 0 < asset.progress < 1
            index = package_prefix(media_id, (await plan_of(here)).version) + INDEX
            text, _ = await here.objects.get(index)
            assert b"180p/playlist.m3u8" in text

    asyncio.run(scenario())


def test_chunks_out_of_order_are_shown_when_the_gap_closes(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            prefix = package_prefix(media_id, (await plan_of(here)).version)
            *video, _audio = tasks
            for task in reversed(video[1:]):
                await here.titles.run(media_id, task)
            with pytest.raises(NotFound):
                await here.objects.get(f"{prefix}180p/{PLAYLIST}")
            await here.titles.run(media_id, video[0])
            text, _ = await here.objects.get(f"{prefix}180p/{PLAYLIST}")
            assert text.count(b"#EXTINF") == (await plan_of(here)).segment_count

    asyncio.run(scenario())


def test_cancelled_task_leaves_no_commit_and_can_run_again(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            running = asyncio.create_task(here.titles.run(media_id, tasks[-2]))
            while not await listed(here):
                await asyncio.sleep(0.005)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            version = (await plan_of(here)).version
            assert await here.catalog.commits(media_id, version) == ()
            assert (await here.process(media_id)).status is Status.READY
            await check_package(here)

    asyncio.run(scenario())


async def stopped_after_first_commit(here: House, media_id: str, task: Task) -> None:
    """As a draining worker hands a task back."""
    running = asyncio.create_task(here.titles.run(media_id, task))
    version = (await plan_of(here)).version
    while not await here.catalog.commits(media_id, version):
        await asyncio.sleep(0.002)
    running.cancel()
    await asyncio.wait([running])


def test_task_that_was_handed_back_goes_on_where_it_stopped(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        children = RecordingChildren()
        async with house(tmp_path, children=children) as here:
            media_id = await here.upload(clip)
            tasks = {task.name: task for task in await here.titles.plan(media_id)}
            plan = await plan_of(here)
            await stopped_after_first_commit(here, media_id, tasks["video-00000"])
            committed = await here.catalog.commits(media_id, plan.version)
            done = len(committed)  # on a busy machine the second one may slip in
            assert [commit.task for commit in committed] == ["video-00000", "video-00001"][:done]
            await here.titles.run(media_id, tasks["video-00000"])
            rest = [Chunk(0, 1, 1)] if done == 1 else []
            assert children.chunks == [Chunk(0, 0, 2), *rest]
            assert (await here.process(media_id)).status is Status.READY
            await check_package(here)

    asyncio.run(scenario())


def test_title_that_is_tried_again_keeps_what_was_committed(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        children = RecordingChildren()
        async with house(tmp_path, children=children) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            plan = await plan_of(here)
            await here.titles.run(media_id, tasks[0])
            await here.titles.fail(media_id, Failure("timeout", "it took too long", True))
            assert (await here.catalog.get(media_id)).status is Status.FAILED
            before = await here.catalog.commits(media_id, plan.version)
            await here.catalog.transition(media_id, Status.QUEUED, {"error": None})
            children.chunks.clear()
            asset = await here.process(media_id)
            assert (asset.status, asset.error, asset.progress) == (Status.READY, None, 1.0)
            assert await plan_of(here) == plan
            assert set(before) <= set(await here.catalog.commits(media_id, plan.version))
            assert sorted(chunk.index for chunk in children.chunks) == [
                chunk.index for chunk in plan.chunks()[1:]
            ]
            await check_package(here)

    asyncio.run(scenario())


def test_title_that_was_deleted_as_it_was_enqueued_is_no_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            assert await here.titles.plan("m1") == ()
            await here.titles.join("m1")

    asyncio.run(scenario())


def test_title_with_a_wrong_package_is_made_anew(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            version = (await plan_of(here)).version
            for task in tasks:
                await here.titles.run(media_id, task)
            part = (await here.catalog.commits(media_id, version))[0].renditions[0]
            key = f"{package_prefix(media_id, version)}{part.name}/{part.segments[0].name}"
            await here.objects.delete(key)
            with pytest.raises(TaskFailed) as failed:
                await here.titles.join(media_id)
            await here.titles.fail(media_id, failed.value.failure)
            await here.catalog.forget_plan(media_id)
            await here.catalog.transition(media_id, Status.QUEUED, {"error": None})
            asset = await here.process(media_id)
            assert (asset.status, asset.error) == (Status.READY, None)
            await check_package(here)

    asyncio.run(scenario())


def test_worker_without_the_encoder_of_a_title_leaves_it_to_others(
    tmp_path: Path, clip: Path
) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            probed_plan = planned(clip)
            assert probed_plan.video is not None
            video = replace(probed_plan.video, encoder=encoder.HARDWARE)
            await here.catalog.put_plan(media_id, replace(probed_plan, video=video))
            tasks = await here.titles.plan(media_id)
            if await can_encode(here, encoder.HARDWARE):
                pytest.skip("this machine has the hardware")
            with pytest.raises(Unavailable, match="has no h264_nvenc"):
                await here.titles.run(media_id, tasks[0])
            assert (await here.catalog.get(media_id)).status is Status.PROCESSING
            await here.titles.run(media_id, tasks[-1])  # its sound needs no such encoder

    asyncio.run(scenario())


async def can_encode(here: House, name: str) -> bool:
    limits = Limits(time_s=30, cpu_s=30)
    async with here.children.run(encoder.try_encoder, name, limits=limits) as messages:
        answers = [message async for message in messages]
    return isinstance(answers[0], Opened) and answers[0].works


def test_source_that_is_away_makes_the_task_wait(tmp_path: Path, clip: Path) -> None:
    class DistantObjects(FilesystemObjects):
        async def source(self, key: str, *, etag: str | None = None) -> Source:
            return FailingSource(str(clip), 1000, "away")

    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            objects = DistantObjects(tmp_path / "objects")
            distant = Titles(objects, here.catalog, Settings(ffmpeg=SMALL), here.children)
            for task in tasks:
                with pytest.raises(Unavailable, match="network"):
                    await distant.run(media_id, task)
            await distant.close()
            await objects.close()

    asyncio.run(scenario())


def test_left_overs_are_swept_at_the_end(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            await here.titles.plan(media_id)
            prefix = package_prefix(media_id, (await plan_of(here)).version)
            await here.objects.put(f"{prefix}180p/00000-0123456789abcdef.m4s", b"of a dead worker")
            assert (await here.process(media_id)).status is Status.READY
            await check_package(here)

    asyncio.run(scenario())


def test_missing_object_fails_the_title(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> Asset:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            for task in await here.titles.plan(media_id):
                await here.titles.run(media_id, task)
            version = (await plan_of(here)).version
            commit = (await here.catalog.commits(media_id, version))[-1]
            part = commit.renditions[0]
            await here.objects.delete(
                f"{package_prefix(media_id, version)}{part.name}/{part.segments[0].name}"
            )
            with pytest.raises(TaskFailed, match="is missing from the store") as failed:
                await here.titles.join(media_id)
            await here.titles.fail(media_id, failed.value.failure)
            return await here.catalog.get(media_id)

    asset = asyncio.run(scenario())
    assert asset.status is Status.FAILED
    assert asset.error is not None
    assert asset.error.code == "bad_package"


def test_wrong_commit_fails_the_title(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            first, *rest = await here.titles.plan(media_id)
            for task in rest:
                await here.titles.run(media_id, task)
            version = (await plan_of(here)).version
            good = next(
                c for c in await here.catalog.commits(media_id, version) if "video" in c.task
            )
            await here.catalog.commit(media_id, version, Commit(first.name, good.renditions))
            with pytest.raises(TaskFailed, match="failed its checks"):
                await here.titles.join(media_id)

    asyncio.run(scenario())


def test_deleted_title_is_left_alone(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            tasks = await here.titles.plan(media_id)
            await here.catalog.transition(media_id, Status.DELETING)
            await here.titles.run(media_id, tasks[0])
            assert await here.catalog.commits(media_id, (await plan_of(here)).version) == ()
            await here.titles.join(media_id)
            await here.titles.fail(media_id, Failure("x", "y", retryable=False))
            assert (await here.catalog.get(media_id)).status is Status.DELETING
            await here.catalog.remove(media_id)
            with pytest.raises(TaskFailed, match="deleted"):
                await here.titles.run(media_id, Task("audio", 0))
            await here.titles.fail(media_id, Failure("x", "y", retryable=False))

    asyncio.run(scenario())


def test_source_that_is_gone_is_a_failure(tmp_path: Path, clip: Path) -> None:
    async def scenario() -> Asset:
        async with house(tmp_path) as here:
            media_id = await here.upload(clip)
            await here.objects.delete(source_key(media_id))
            return await here.process(media_id)

    asset = asyncio.run(scenario())
    assert asset.error is not None
    assert asset.error.code == "source_missing"


@pytest.mark.parametrize("name", ["bad-bitstream.webm", "bad-corrupted.mp4"])
def test_bad_clip_fails_with_a_reason(tmp_path: Path, name: str) -> None:
    async def scenario() -> Asset:
        async with house(tmp_path) as here:
            return await here.process(await here.upload(CLIPS / name))

    asset = asyncio.run(scenario())
    assert asset.status is Status.FAILED
    assert asset.error is not None
    assert not asset.error.retryable
    assert len(asset.error.message.split()) > 5


def test_unseekable_source_is_committed_as_it_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            path = write_video(
                tmp_path / "a.ts", constant(750, 25), options={"preset": "ultrafast"}
            )
            media_id = await here.upload(path)
            (task,) = await here.titles.plan(media_id)
            await here.titles.run(media_id, task)
            version = (await plan_of(here)).version
            commits = await here.catalog.commits(media_id, version)
            assert len(commits) > 3
            assert [commit.task for commit in commits] == [
                f"video-{number:05d}" for number in range(len(commits))
            ]
            await here.titles.join(media_id)
            assert (await here.catalog.get(media_id)).status is Status.READY

    asyncio.run(scenario())


def test_two_runs_encode_the_same_bytes(tmp_path: Path, clip: Path) -> None:
    async def package(folder: Path) -> dict[str, int]:
        async with house(folder) as here:
            await here.process(await here.upload(clip))
            return await listed(here)

    assert asyncio.run(package(tmp_path / "a")) == asyncio.run(package(tmp_path / "b"))


def test_picture_and_sound_stay_together(tmp_path: Path, clip: Path) -> None:
    """Both start at 0 as an independent demuxer sees it."""

    async def scenario() -> None:
        async with house(tmp_path) as here:
            await here.process(await here.upload(clip))
            plan = await plan_of(here)
            prefix = package_prefix("m1", plan.version)
            commits = await here.catalog.commits("m1", plan.version)
            for name in ("180p", "audio"):
                parts = [p for c in commits for p in c.renditions if p.name == name]
                data, _ = await here.objects.get(f"{prefix}{name}/{parts[0].init_name}")
                for segment in sorted(
                    (s for part in parts for s in part.segments), key=lambda s: s.number
                ):
                    data += (await here.objects.get(f"{prefix}{name}/{segment.name}"))[0]
                with av.open(io.BytesIO(data), "r") as container:
                    (stream,) = container.streams
                    assert next(container.decode(stream)).pts == 0

    asyncio.run(scenario())
