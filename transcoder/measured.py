"""What a worker's tasks take and how they end, for its metrics and its log: one line per run."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from media.asset import Failure
from media.commit import AUDIO, VIDEO
from stores import tracing
from stores.errors import Unavailable
from stores.jobs.base import Task, TaskFailed, TitleHandler
from transcoder.metrics import JOIN, PLAN, TITLE, WorkerMetrics
from transcoder.tasks import AUDIO_TASK

log = structlog.stdlib.get_logger(__name__)

DONE = "done"
INTERRUPTED = "interrupted"  # stopped, drained, or out of time: the job engine knows which


class Measured(TitleHandler):
    def __init__(self, handler: TitleHandler, metrics: WorkerMetrics) -> None:
        self._handler = handler
        self._metrics = metrics

    async def plan(self, media_id: str) -> Sequence[Task]:
        with self._run(PLAN, media_id, PLAN):
            return await self._handler.plan(media_id)

    async def run(self, media_id: str, task: Task) -> None:
        with self._run(AUDIO if task.name == AUDIO_TASK else VIDEO, media_id, task.name):
            await self._handler.run(media_id, task)

    async def join(self, media_id: str) -> None:
        with self._run(JOIN, media_id, JOIN):
            await self._handler.join(media_id)

    async def fail(self, media_id: str, failure: Failure) -> None:
        await self._handler.fail(media_id, failure)
        self._metrics.count_failure(TITLE, failure.code)
        log.warning("title failed", media=media_id, code=failure.code, reason=failure.message)

    @contextmanager
    def _run(self, kind: str, media_id: str, name: str) -> Iterator[None]:
        started = time.perf_counter()
        with (
            structlog.contextvars.bound_contextvars(media=media_id, task=name),
            tracing.span(name, {tracing.MEDIA: media_id}, kind=tracing.CONSUMER) as span,
            self._metrics.tasks_in_progress.track_inprogress(),
        ):
            outcome = DONE
            try:
                yield
            except BaseException as error:
                outcome = _outcome(error)
                raise
            finally:
                seconds = time.perf_counter() - started
                self._metrics.observe_task(kind, seconds)
                if outcome not in (DONE, INTERRUPTED):
                    self._metrics.count_failure(kind, outcome)
                log.info("task", outcome=outcome, ms=round(seconds * 1000, 1))
                span.note({tracing.OUTCOME: outcome})


def _outcome(error: BaseException) -> str:
    match error:
        case TaskFailed():
            return error.failure.code
        case Unavailable():
            return "store_unavailable"
        case asyncio.CancelledError():
            return INTERRUPTED
        case _:
            return "internal"
