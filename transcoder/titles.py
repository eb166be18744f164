"""What a worker does with a title: plan it, encode its parts, put them together."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import structlog

from media.asset import UNFINISHED, Asset, Failure, Status
from media.commit import AUDIO, Commit
from media.keys import package_prefix, source_key
from media.plan import GRID, Plan
from media.settings import Settings
from media.verify import PackageError, verify
from stores.catalog.base import Catalog
from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import Task, TaskFailed, TitleHandler
from stores.objects.base import ObjectStore, Source
from transcoder import audio, encoder, probe, video
from transcoder.child import ChildLost, Children
from transcoder.delivery import Delivery
from transcoder.messages import MalformedMessage, Message, Opened, Probed
from transcoder.metrics import WorkerMetrics
from transcoder.pace import chunk_duration_s, paced
from transcoder.package import left_overs
from transcoder.planner import make_plan, source_info
from transcoder.publishing import Publisher
from transcoder.source import ProbeResult
from transcoder.tasks import narrowed, task_work, title_tasks
from transcoder.waited import since_queued_s
from transcoder.work import Limits, address_space_share

log = structlog.stdlib.get_logger(__name__)

PROBE_TIME_S = 120
FIRST_NICENESS, NICENESS_STEP, MOST_NICE = 5, 4, 17  # 4 steps: about 2.4 times the share
CPU_PER_TIME = 8  # processor seconds that a child may use per second of its time limit


class Titles(TitleHandler):
    def __init__(
        self,
        objects: ObjectStore,
        catalog: Catalog,
        settings: Settings,
        children: Children,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._metrics = metrics or WorkerMetrics(settings)
        self._objects = objects
        self._catalog = catalog
        self._settings = settings
        self._children = children
        self._address_space_bytes = address_space_share(settings.worker.concurrency)
        self._encoder: str | None = None
        self._publisher = Publisher(
            objects,
            catalog,
            self._metrics,
            pause_s=settings.ffmpeg.segmentduration.total_seconds(),
        )

    async def close(self) -> None:
        await self._publisher.close()

    async def plan(self, media_id: str) -> Sequence[Task]:
        asset = await self._wanted(media_id)
        if asset is None:
            return ()
        plan = await self._catalog.get_plan(media_id)
        if plan is None or asset.status is Status.QUEUED:
            plan = await self._begin(media_id)
        return title_tasks(plan)

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
        work = task_work(plan, task)
        committed = await self._catalog.commits(
            media_id, plan.version, kind=work.kind, start=work.chunk.first_segment
        )
        missing = work.missing(committed)
        if not missing:  # committed by a run that may not have lived to publish it
            await self._publisher.publish(media_id, plan)
            return

        async def on_commit(commit: Commit) -> None:
            if await self._catalog.commit(media_id, plan.version, commit):
                await self._publisher.publish(media_id, plan)
            else:
                log.info("late commit refused", media=media_id, commit=commit.task)

        prefix = package_prefix(media_id, plan.version)
        delivery = Delivery(self._objects, prefix, work.renditions, missing, on_commit)
        source = await self._source(media_id)
        if work.kind == AUDIO:  # from the start: the encoder's state goes on over all segments
            run = self._child(task, audio.encode_audio, source, plan)
            media_s = plan.duration_s
        else:
            await self._check_encoder(plan)
            chunk = narrowed(work.chunk, list(missing))
            run = self._child(task, video.encode_chunk, source, plan, chunk)
            media_s = chunk_duration_s(plan, chunk)
        with _first_of_group():
            async with run as messages:
                await delivery.take(paced(messages, self._metrics, work, media_s))

    async def join(self, media_id: str) -> None:
        asset = await self._wanted(media_id)
        plan = await self._catalog.get_plan(media_id)
        if asset is None or asset.status is not Status.PROCESSING or plan is None:
            return  # joined before, or not wanted any more
        commits = await self._catalog.commits(media_id, plan.version)
        try:
            verify(plan, commits)
            unwanted = await left_overs(self._objects, media_id, plan, commits)
        except PackageError as error:
            log.error("the package is wrong", media=media_id, problem=str(error))
            text = f"the encoded package failed its checks: {error}"
            raise TaskFailed(Failure("bad_package", text, retryable=False)) from error
        renditions = await self._publisher.publish_final(media_id, plan, commits)
        # Only now, because two runs of one task write the same names when they encode the same
        # bytes: a run that cleans up after itself could take away what another is committing.
        for key in unwanted:
            await self._objects.delete(key)
        changes = {"playable": True, "progress": 1.0, "renditions": renditions}
        with contextlib.suppress(Conflict):  # being deleted
            ready = await self._catalog.transition(media_id, Status.READY, changes)
            if (waited_s := await since_queued_s(self._catalog, ready)) is not None:
                self._metrics.ready.observe(waited_s)

    async def fail(self, media_id: str, failure: Failure) -> None:
        with contextlib.suppress(Conflict, NotFound):  # ready before, or deleted
            await self._catalog.transition(media_id, Status.FAILED, {"error": failure})

    async def _wanted(self, media_id: str) -> Asset | None:
        """None for a title that was deleted as it was enqueued, too."""
        try:
            asset = await self._catalog.get(media_id)
        except NotFound:
            return None
        return asset if asset.status in UNFINISHED else None

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

    async def _check_encoder(self, plan: Plan) -> None:
        """One encoder makes the whole title, or its init segments would differ. A worker without
        it leaves the task to others."""
        assert plan.video is not None
        wanted = plan.video.encoder
        if wanted not in (encoder.SOFTWARE, await self._encoder_name()):
            raise Unavailable(f"this worker has no {wanted}, which the title was begun with")

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


@contextlib.contextmanager
def _first_of_group() -> Iterator[None]:
    """The one error that made a TaskGroup stop, by itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
