"""BullMQ's worker with types. With `queue`, the only place that touches the untyped `bullmq`."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import bullmq
import orjson
from bullmq.custom_errors import DelayedError, UnrecoverableError, WaitingChildrenError

from media.asset import Failure
from stores.jobs.base import Task
from stores.jobs.connection import RedisAddress

QUEUE = "transcode"
TASK = "task"
PATIENCE_S = 60  # with a Redis that is away
IDLE_POLL_S = 2  # only matters when a worker has died with the wake-up call of another
LONG_AGO_MS = 1
SKIP_ATTEMPT = {"skipAttempt": True}
MAX_DEATHS = 5  # of workers under one job, deploys and spot kills included


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a worker may be silent before its job goes to another.

    A worker that was killed is noticed after `lock_ms` (less the age of the last renewal) plus
    `check_ms`: 9 to 11 s. Redis may be away for `lock_ms - renew_ms` before a healthy worker
    loses its job: 8 s, far more than the keeper needs to restart it. A shorter lock saves a few
    seconds after a rare crash and makes every hiccup cost a chunk; frequent renewals are cheap.
    """

    lock_ms: int = 10_000
    renew_ms: int = 2_000
    check_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Patience:
    """With a store that is away: how often a job waits for it, and how long each time."""

    delay_ms: int = 5000
    waits: int = 720  # an hour


class LeasedJob:
    """A job while a worker holds it."""

    def __init__(self, job: Any, token: str) -> None:
        data = job.data
        self._job = job
        self._token = token
        self.id: str = job.id
        self.media_id: str = data["media"]
        self.task = Task(data["task"], data["urgency"]) if job.name == TASK else None
        self.title_id: str = data["title"] if job.name == TASK else job.id
        self.trace: str | None = data.get("trace")
        self.task_count: int | None = data.get("tasks")  # None: not planned yet
        self.waits: int = data.get("waits", 0)  # for a store that was away
        self.retry_left: bool = job.attemptsMade + 1 < job.opts["attempts"]
        self.verdict: str | None = job.verdict

    async def set_planned(self, task_count: int | None) -> None:
        self.task_count = task_count
        await self._job.updateData({**self._job.data, "tasks": task_count})

    async def wait_for_tasks(self) -> bool:
        """Leaves the worker, by an exception, while tasks are pending. False if one failed."""
        try:
            pending = await self._job.moveToWaitingChildren(self._token, {})
        except UnrecoverableError:
            return False
        if pending:
            raise WaitingChildrenError
        return True

    async def done_count(self) -> int:
        return len(await self._job.getChildrenValues())

    async def put_back(self, delay_ms: int) -> None:
        """Leaves the worker, by an exception; no attempt is used up."""
        # Without a delay it is due by every worker's clock, however far this one's is ahead.
        due_ms = round(time.time() * 1000) + delay_ms if delay_ms else LONG_AGO_MS
        await self._job.backend.moveToDelayed(self.id, due_ms, 0, self._token, SKIP_ATTEMPT)
        raise DelayedError

    async def wait(self, delay_ms: int) -> None:
        """As `put_back`, and counted in `waits`."""
        self.waits += 1
        await self._job.updateData({**self._job.data, "waits": self.waits})
        await self.put_back(delay_ms)

    def abandon(self) -> None:
        """Leaves the worker, by an exception, without a word to Redis: the job is another's."""
        raise DelayedError

    def failed(self, failure: Failure) -> Exception:
        return UnrecoverableError(orjson.dumps(failure).decode())  # type: ignore[no-any-return]

    def stopped(self) -> Exception:
        """Ends the job like a failure, but leaves no trace of it."""
        self._job.opts["removeOnFail"] = True
        return UnrecoverableError("stopped")  # type: ignore[no-any-return]


class Slot(bullmq.Worker):  # type: ignore[misc]
    """One job at a time.

    With `concurrency` above 1, closing a worker that has a free place stops the renewal of the
    jobs it still runs, and they run twice.
    """

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        process: Callable[[LeasedJob], Awaitable[None]],
        lease: Lease,
    ) -> None:
        self._redis = address.connect(PATIENCE_S)

        async def processor(job: Any, token: str) -> None:
            await process(LeasedJob(job, token))

        options = {
            "connection": self._redis,
            "prefix": address.prefix,
            "name": name,
            "concurrency": 1,
            "lockDuration": lease.lock_ms,
            "lockRenewTime": lease.renew_ms,
            "stalledInterval": lease.check_ms,
            "maxStalledCount": MAX_DEATHS,
            "drainDelay": IDLE_POLL_S,
            "runRetryDelay": 200,
            "autorun": False,
        }
        super().__init__(QUEUE, processor, options)
        self._asked_s = time.monotonic()

    def idle_s(self) -> float:
        """Since it asked for work."""
        return time.monotonic() - self._asked_s

    async def run(self) -> None:
        try:
            # Learns that this Redis can block for fractions of a second: retries are on time.
            await self.blockingRedisConnection.getRedisVersion()
            await super().run()
            if not self.closing:
                raise RuntimeError("a slot of the worker ended by itself, see standard error")
        finally:
            await self._redis.aclose()

    async def getNextJob(self, token: str) -> Any:
        """A fetch that begins just after `close` would block for its whole idle poll."""
        self._asked_s = time.monotonic()
        return None if self.closing else await super().getNextJob(token)

    async def processJob(self, job: Any, token: str) -> None:
        """A job that Redis condemned (a task failed, its workers kept dying) goes through the
        processor too: the title is told before the job is over, so no crash can lose it."""
        job.verdict, job.deferredFailure = job.deferredFailure, None
        await super().processJob(job, token)
