"""The worker's side of the job engine on BullMQ and Redis.

What can happen to a job, and what then:

    its worker dies              another runs it again, ~10 s later (slot.Lease)
    its worker was only frozen   it loses the lock, stops at once; its result is refused
    it fails, and may be retried again after a back-off, ATTEMPTS times in all
    a store is away              it waits and runs again, for about an hour; no attempt is used up
    Redis refuses to write       the same, for as long as it does: its memory or disk is full
    a task fails for good        a stop order for the title: its other tasks stop, the title job
                                 tells the handler and fails
    it is cancelled              a stop order without a failure: everything stops and vanishes
    its worker drains            it is finished, or put back when the grace is over

A stop order is written before it is announced and read before any work begins, so neither a
lost announcement nor a crash can lose it.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import (
    ConnectionError,
    RedisClusterException,
    RedisError,
    TimeoutError,
)

from media.asset import Failure
from stores import tracing
from stores.errors import Unavailable
from stores.jobs.base import Task, TaskFailed, TitleHandler, Worker
from stores.jobs.connection import RedisAddress
from stores.jobs.queue import Queue
from stores.jobs.run import Halt, Halted, Run, TryAgain, error_of
from stores.jobs.slot import PATIENCE_S, Lease, LeasedJob, Patience, Slot

T = TypeVar("T")

FORGET_RETRY_MS = 100
STUCK_S = 2 * PATIENCE_S  # no slot asks for work less often, be Redis away or not

log = logging.getLogger(__name__)


class BullWorker(Worker):
    def __init__(
        self,
        address: RedisAddress,
        handler: TitleHandler,
        slots: int,
        task_timeout_s: float,
        *,
        lease: Lease | None = None,
        patience: Patience | None = None,
    ) -> None:
        lease = lease or Lease()
        self._patience = patience or Patience()
        self._address = address
        self._handler = handler
        self._task_timeout_s = task_timeout_s
        self._queue = Queue(address, PATIENCE_S)
        name = f"{socket.gethostname()}.{os.getpid()}"
        self._slots = [
            Slot(address, f"{name}.{number}", partial(self._process, number), lease)
            for number in range(slots)
        ]
        for number, slot in enumerate(self._slots):
            slot.on("lockRenewalFailed", partial(self._lose, number))
            slot.on("error", _log_slot_error)
        self._runs: set[Run] = set()
        self._draining = False
        self._starting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._starting = asyncio.create_task(self._check())
        try:
            await asyncio.wait({self._starting})
            if not self._starting.cancelled():
                self._starting.result()
                await self._work()
        finally:
            self._starting.cancel()
            await self._queue.close()

    async def _check(self) -> None:
        with self._address.reaching(first=True):
            self._address.check(await self._queue.info())

    async def _work(self) -> None:
        listener = asyncio.create_task(self._listen())
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(slot.run())
        except* (ConnectionError, TimeoutError) as group:
            raise Unavailable(f"Redis at {self._address} does not answer") from group
        finally:
            listener.cancel()
            await asyncio.wait({listener})

    async def drain(self, grace_s: float) -> None:
        self._draining = True
        if self._starting is not None:
            self._starting.cancel()
        closing = asyncio.gather(*(slot.close() for slot in self._slots))
        await asyncio.wait({closing}, timeout=grace_s)
        for run in self._runs:
            run.stop(Halt.DRAINED)
        await closing

    def is_alive(self) -> bool:
        working = {run.slot for run in self._runs}
        return self._draining or all(
            number in working or slot.idle_s() < STUCK_S for number, slot in enumerate(self._slots)
        )

    async def _listen(self) -> None:
        while True:
            try:
                with self._address.reaching():
                    await self._obey()
            except Unavailable as error:
                log.warning("the channel of stop orders broke: %s", error)
                await asyncio.sleep(0.2)

    async def _obey(self) -> None:
        async with contextlib.aclosing(self._queue.stop_announcements()) as announcements:
            async for title_id in announcements:
                await self._stop_runs(title_id)

    async def _stop_runs(self, title_id: str | None) -> None:
        """Of one title, or of all that have a stop order."""
        for run in list(self._runs):
            job = run.job
            if title_id == job.title_id or (
                title_id is None and await self._queue.stop_order(job.title_id)
            ):
                run.stop(Halt.STOPPED)

    def _lose(self, slot: int, job_ids: Sequence[str]) -> None:
        for run in self._runs:
            if run.slot == slot and run.job.id in job_ids:
                run.stop(Halt.LOST)

    async def _process(self, slot: int, job: LeasedJob) -> None:
        run = Run(slot, job)
        if self._draining:  # fetched while closing: its lock would not be renewed
            run.stop(Halt.DRAINED)
        self._runs.add(run)  # before the stop order is read, or an announcement could slip by
        try:
            with tracing.continued(job.trace):
                await (self._title(run) if job.task is None else self._task(run, job.task))
        except Halted as halted:
            log.info("job %s left this worker: %s", job.id, halted)
            if halted.why is Halt.LOST:
                job.abandon()
            if halted.why is Halt.DRAINED:
                await job.put_back(0)
            raise job.stopped() from None
        except (RedisError, RedisClusterException) as error:
            # BullMQ would count it as an attempt of the job, and tell nobody when it was the last.
            log.warning("job %s waits for Redis: %s", job.id, error)
            await job.put_back(self._patience.delay_ms)
        finally:
            self._runs.discard(run)

    async def _task(self, run: Run, task: Task) -> None:
        job = run.job
        try:
            await self._admit(run)
            await self._do(run, f"task {task.name}", self._handler.run(job.media_id, task))
        except TaskFailed as failed:
            await self._queue.stop(job.title_id, failed.failure)
            raise job.failed(failed.failure) from failed

    async def _title(self, run: Run) -> None:
        job = run.job
        try:
            await self._admit(run)
            await self._title_steps(run)
        except TaskFailed as failed:
            await self._queue.stop(job.id, failed.failure)
            await self._tell_failure(run, failed.failure)
        except Halted as halted:
            if halted.why is not Halt.STOPPED:
                raise
            await self._end_stopped_title(run)

    async def _title_steps(self, run: Run) -> None:
        job = run.job
        if job.task_count is None:
            tasks = await self._do(run, "planning", self._handler.plan(job.media_id))
            await self._queue.add_tasks(job.media_id, job.id, tasks)
            await job.set_planned(len(tasks))
        if not await job.wait_for_tasks():
            raise Halted(Halt.STOPPED)
        done = await job.done_count()
        if done != job.task_count:
            # A Redis that dies may forget what it was told last, tasks that were added say.
            failure = _internal("joining", f"Redis knows of {done} of {job.task_count} tasks")
            await job.set_planned(None)
            raise _again(job, failure)
        await self._do(run, "joining", self._handler.join(job.media_id))

    async def _end_stopped_title(self, run: Run) -> None:
        order = await self._queue.stop_order(run.job.id)
        if order is None:
            await self._tell_failure(run, _internal("a task", "its reason has expired"))
        elif order.failure is not None:
            await self._tell_failure(run, order.failure)
        if await self._queue.remove_waiting_tasks(run.job.id):
            # The title job stays until its last running task has ended: whoever cancelled it
            # can tell from its state when nothing is written any more.
            await run.job.put_back(FORGET_RETRY_MS)
        raise run.job.stopped()

    async def _tell_failure(self, run: Run, failure: Failure) -> None:
        """Before the job is over, so that a crash here only means doing it again."""
        run.begin_end()
        await self._queue.remove_waiting_tasks(run.job.id)
        telling = self._handler.fail(run.job.media_id, failure)
        try:
            await self._do(run, "recording the failure", telling)
        except TaskFailed as failed:  # out of attempts; Jobs.failure still knows
            log.error("%s: could not record its failure: %s", run.job.media_id, failed)
        raise run.job.failed(failure)

    async def _admit(self, run: Run) -> None:
        if await self._queue.stop_order(run.job.title_id) is not None:
            raise Halted(Halt.STOPPED)
        if run.job.verdict is not None:
            raise TaskFailed(_internal(_name(run.job), run.job.verdict))

    async def _do(self, run: Run, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Raises Halted, TryAgain, or TaskFailed when it has failed for good."""
        try:
            task = await run.do(work, self._task_timeout_s)
        except Halted as halted:
            if halted.why is not Halt.TIMEOUT:
                raise
            message = f"{what} took longer than {self._task_timeout_s:g} s"
            raise TaskFailed(Failure("timeout", message, retryable=True)) from None
        error = error_of(task)
        if error is None:
            return task.result()
        if isinstance(error, Unavailable):
            failure = await self._wait_for_store(run.job, what, error)
        elif isinstance(error, TaskFailed):
            failure = error.failure
        else:
            log.error("%s of %s failed", what, run.job.media_id, exc_info=error)
            failure = _internal(what, "an unexpected error, see the worker's log")
        raise _again(run.job, failure) from error

    async def _wait_for_store(self, job: LeasedJob, what: str, error: Unavailable) -> Failure:
        """Leaves the worker, by an exception, until the job has waited too often."""
        log.warning("%s of %s waits for a store: %s", what, job.media_id, error)
        if job.waits < self._patience.waits:
            await job.wait(self._patience.delay_ms)
        return Failure("store_unavailable", f"{what} failed: a store was away", retryable=True)


def _again(job: LeasedJob, failure: Failure) -> Exception:
    if failure.retryable and job.retry_left:
        return TryAgain(failure.message)
    return TaskFailed(failure)


def _internal(what: str, why: str) -> Failure:
    return Failure("internal", f"{what} failed: {why}", retryable=True)


def _name(job: LeasedJob) -> str:
    return "the title's job" if job.task is None else f"task {job.task.name}"


def _log_slot_error(error: Exception, *_job: object) -> None:
    log.warning("job engine: %s", error)
