"""What a worker's tasks take and how they end, for its metrics and its log: one line per run."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType

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

    def _run(self, kind: str, media_id: str, name: str) -> "_Run":
        return _Run(self._metrics, kind, media_id, name)


class _Run:
    def __init__(self, metrics: WorkerMetrics, kind: str, media_id: str, name: str) -> None:
        self._metrics = metrics
        self._kind = kind
        self._bound = structlog.contextvars.bound_contextvars(media=media_id, task=name)
        self._opened = tracing.span(name, {tracing.MEDIA: media_id}, kind=tracing.CONSUMER)
        self._started = time.perf_counter()

    def __enter__(self) -> None:
        self._bound.__enter__()
        self._span = self._opened.__enter__()
        self._metrics.tasks_in_progress.inc()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._started
        outcome = _outcome(error)
        self._metrics.tasks_in_progress.dec()
        self._metrics.observe_task(self._kind, seconds)
        if outcome not in (DONE, INTERRUPTED):
            self._metrics.count_failure(self._kind, outcome)
        log.info("task", outcome=outcome, ms=round(seconds * 1000, 1))
        self._span.note({tracing.OUTCOME: outcome})
        self._opened.__exit__(kind, error, traceback)
        self._bound.__exit__(kind, error, traceback)


def _outcome(error: BaseException | None) -> str:
    match error:
        case None:
            return DONE
        case TaskFailed():
            return error.failure.code
        case Unavailable():
            return "store_unavailable"
        case asyncio.CancelledError():
            return INTERRUPTED
        case _:
            return "internal"
