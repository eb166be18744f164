"""What a worker does with a title: plan it, encode its parts, put them together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import structlog

from media.asset import UNFINISHED, Failure, Status
from media.commit import Commit, task_name
from media.keys import INDEX, PLAYLIST, package_prefix, source_key
from media.plan import GRID, Chunk, Plan
from media.settings import Settings
from media.verify import PackageError, verify
from stores.catalog.base import Catalog
from stores.errors import Conflict, NotFound
from stores.jobs.base import Task, TaskFailed, TitleHandler
from stores.objects.base import ObjectStore, Source
from transcoder import audio, encoder, probe, video
from transcoder.child import ChildLost, Children
from transcoder.delivery import Delivery
from transcoder.messages import MalformedMessage, Message, Opened, Probed
from transcoder.planner import make_plan, source_info
from transcoder.publishing import publish, publish_final
from transcoder.source import ProbeResult
from transcoder.work import Limits, address_space_share

log = structlog.stdlib.get_logger(__name__)

PROBE_TIME_S = 120
AUDIO_TASK = "audio"
PARALLEL_HEADS = 16
FIRST_NICENESS, NICENESS_STEP, MOST_NICE = 5, 4, 17  # 4 steps: about 2.4 times the share
CPU_PER_TIME = 8  # processor seconds that a child may use per second of its time limit


class Titles(TitleHandler):
    def __init__(
        self, objects: ObjectStore, catalog: Catalog, settings: Settings, children: Children
    ) -> None:
        self._objects = objects
        self._catalog = catalog
        self._settings = settings
        self._children = children
        self._address_space_bytes = address_space_share(settings.worker.concurrency)
        self._encoder: str | None = None

    async def plan(self, media_id: str) -> Sequence[Task]:
        asset = await self._catalog.get(media_id)
        if asset.status not in UNFINISHED:
            return ()
        plan = await self._catalog.get_plan(media_id)
        if plan is None or asset.status is Status.QUEUED:
            plan = await self._begin(media_id)
        return _tasks(plan)

    async def run(self, media_id: str, task: Task) -> None:
        try:
            await self._run(media_id, task)
        except ChildLost as error:
            # One hostile title may take the children of all others along: that is no attempt of
            # theirs, or it could use all of them up.
            log.warning("lost a child, running again", media=media_id, problem=str(error))
            await self._run(media_id, task)

    async def _run(self, media_id: str, task: Task) -> None:
        plan = await self._catalog.get_plan(media_id)
        if plan is None:
            raise TaskFailed(Failure("gone", "the title was deleted", retryable=False))
        if plan.grid != GRID:
            text = "the title was begun by another release of Headrace: upload it again"
            raise TaskFailed(Failure("outdated", text, retryable=False))
        commits = await self._catalog.commits(media_id, plan.version)
        names, wanted = _work(plan, task)
        done = {commit.task for commit in commits}
        missing = {number: name for number, name in wanted.items() if name not in done}
        if not missing:  # committed by a run that may not have lived to publish it
            await self._publish(media_id, plan)
            return

        publishing = asyncio.Lock()
        waiting = 0

        async def on_commit(commit: Commit) -> None:
            nonlocal waiting
            if not await self._catalog.commit(media_id, plan.version, commit):
                log.info("late commit refused", media=media_id, commit=commit.task)
                return
            waiting += 1
            async with publishing:
                waiting -= 1
                if waiting == 0:  # else the next in line shows this one too
                    await self._publish(media_id, plan)

        prefix = package_prefix(media_id, plan.version)
        delivery = Delivery(self._objects, prefix, names, missing, on_commit)
        source = await self._source(media_id)
        if task.name == AUDIO_TASK:
            work = self._child(task, audio.encode_audio, source, plan)
        else:
            work = self._child(task, video.encode_chunk, source, plan, _chunk(plan, task))
        with _first_of_group():
            async with work as messages:
                await delivery.take(messages)

    async def join(self, media_id: str) -> None:
        asset = await self._catalog.get(media_id)
        plan = await self._catalog.get_plan(media_id)
        if asset.status is not Status.PROCESSING or plan is None:
            return  # joined before, or not wanted any more
        commits = await self._catalog.commits(media_id, plan.version)
        try:
            verify(plan, commits)
            await self._check_stored(media_id, plan, commits)
        except PackageError as error:
            log.error("the package is wrong", media=media_id, problem=str(error))
            text = f"the encoded package failed its checks: {error}"
            raise TaskFailed(Failure("bad_package", text, retryable=False)) from error
        shown = await publish_final(self._objects, media_id, plan, commits)
        await self._sweep(media_id, plan, commits)
        changes = {"playable": True, "progress": 1.0, "renditions": shown.renditions}
        with contextlib.suppress(Conflict):  # being deleted
            await self._catalog.transition(media_id, Status.READY, changes)

    async def fail(self, media_id: str, failure: Failure) -> None:
        with contextlib.suppress(Conflict, NotFound):  # ready before, or deleted
            await self._catalog.transition(media_id, Status.FAILED, {"error": failure})

    async def _begin(self, media_id: str) -> Plan:
        probed = await self._probe(media_id)
        name = await self._encoder_name() if probed.video else encoder.SOFTWARE
        plan = await self._catalog.put_plan(
            media_id, make_plan(probed, self._settings.ffmpeg, encoder=name)
        )
        changes = {
            "type": plan.type,
            "source": source_info(probed),
            "duration_s": round(plan.duration_s, 3),
            "version": plan.version,
            "warnings": probed.warnings,
        }
        with contextlib.suppress(Conflict):  # begun by somebody else, or being deleted
            await self._catalog.transition(media_id, Status.PROCESSING, changes)
        return plan

    async def _probe(self, media_id: str) -> ProbeResult:
        source = await self._source(media_id)
        answer = await self._ask(probe.probe, source)
        if not isinstance(answer, Probed):
            raise MalformedMessage(f"a {type(answer).__name__} from a probe")
        return answer.result

    async def _source(self, media_id: str) -> Source:
        asset = await self._catalog.get(media_id)
        return await self._objects.source(source_key(media_id), etag=asset.source_etag)

    async def _encoder_name(self) -> str:
        """Hardware if it really encodes; tried once per worker."""
        if self._encoder is None:
            answer = await self._ask(encoder.try_encoder, encoder.HARDWARE)
            if isinstance(answer, Opened) and answer.works:
                self._encoder = encoder.HARDWARE
            else:
                self._encoder = encoder.SOFTWARE
                reason = answer.reason if isinstance(answer, Opened) else "no answer"
                log.info("encoding in software", tried=encoder.HARDWARE, reason=reason)
        return self._encoder

    async def _ask(self, function: Callable[..., None], *arguments: object) -> Message:
        try:
            return await self._answer(function, *arguments)
        except ChildLost as error:
            log.warning("lost a child, asking again", problem=str(error))
            return await self._answer(function, *arguments)

    async def _answer(self, function: Callable[..., None], *arguments: object) -> Message:
        limits = Limits(PROBE_TIME_S, PROBE_TIME_S, self._address_space_bytes)
        async with self._children.run(function, *arguments, limits=limits) as messages:
            answers = [message async for message in messages]
        if len(answers) != 1:
            raise MalformedMessage(f"{len(answers)} answers to one question")
        return answers[0]

    def _child(
        self, task: Task, function: Callable[..., None], *arguments: object
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[Message]]:
        time_s = self._settings.worker.jobtimeout.total_seconds()
        # What is watched first gets the processors first, or all early chunks would be late.
        niceness = min(FIRST_NICENESS + NICENESS_STEP * task.urgency, MOST_NICE)
        limits = Limits(
            time_s=time_s,
            cpu_s=int(time_s * CPU_PER_TIME),
            address_space_bytes=self._address_space_bytes,
            niceness=niceness,
        )
        return self._children.run(function, *arguments, limits=limits)

    async def _publish(self, media_id: str, plan: Plan) -> None:
        with contextlib.suppress(Conflict, NotFound):  # being deleted
            await publish(self._objects, self._catalog, media_id, plan)

    async def _check_stored(self, media_id: str, plan: Plan, commits: Sequence[Commit]) -> None:
        """Raises PackageError unless every object that will be listed is there, as long as told."""
        limit = asyncio.Semaphore(PARALLEL_HEADS)

        async def check(key: str, size: int | None) -> None:
            async with limit:
                try:
                    info = await self._objects.head(key)
                except NotFound as error:
                    raise PackageError(f"{key} is missing from the store") from error
            if size is not None and info.size != size:
                raise PackageError(f"{key} has {info.size} bytes in the store, not {size}")

        listed = _listed(package_prefix(media_id, plan.version), commits)
        with _first_of_group():
            async with asyncio.TaskGroup() as checks:
                for key, size in listed.items():
                    checks.create_task(check(key, size))

    async def _sweep(self, media_id: str, plan: Plan, commits: Sequence[Commit]) -> None:
        """Delete what runs left behind whose commit was refused or never came.

        Only now, because two runs of one task write the same names when they encode the same
        bytes: a run that cleans up after itself could take away what another is committing.
        """
        prefix = package_prefix(media_id, plan.version)
        listed = _listed(prefix, commits)
        async for info in self._objects.list(prefix):
            if info.key not in listed and not info.key.endswith((INDEX, PLAYLIST)):
                await self._objects.delete(info.key)


def _tasks(plan: Plan) -> tuple[Task, ...]:
    """The start of the title first: its sound goes with the first chunk."""
    tasks = [Task(f"video-{chunk.index:05d}", urgency=chunk.index) for chunk in plan.chunks()]
    if plan.audio is not None:
        tasks.append(Task(AUDIO_TASK, urgency=0))
    return tuple(tasks)


def _chunk(plan: Plan, task: Task) -> Chunk:
    return plan.chunks()[int(task.name.removeprefix("video-"))]


def _work(plan: Plan, task: Task) -> tuple[tuple[str, ...], dict[int, str]]:
    """The renditions that a task makes, and the commit of each segment number."""
    is_audio = task.name == AUDIO_TASK
    part = plan.audio if is_audio else plan.video
    assert part is not None
    kind = "audio" if is_audio else "video"
    whole = Chunk(0, 0, plan.segment_count) if is_audio else _chunk(plan, task)
    numbers = range(whole.first_segment, whole.first_segment + whole.segment_count)
    commits = {number: task_name(kind, number) for number in numbers}
    return tuple(rung.name for rung in part.rungs), commits


def _listed(prefix: str, commits: Sequence[Commit]) -> dict[str, int | None]:
    """Keys of everything that playlists will name, with the size where it is known."""
    listed: dict[str, int | None] = {}
    for commit in commits:
        for rendition in commit.renditions:
            folder = f"{prefix}{rendition.name}/"
            listed[folder + rendition.init_name] = None
            listed |= {folder + segment.name: segment.size for segment in rendition.segments}
    return listed


@contextlib.contextmanager
def _first_of_group() -> Iterator[None]:
    """The one error that made a TaskGroup stop, by itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
