"""One job in one slot, and what can make it leave before it is done."""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, TypeVar

from stores.jobs.slot import LeasedJob

T = TypeVar("T")


class Halt(Enum):
    """Why a job is made to leave this worker."""

    STOPPED = "its title was stopped"
    LOST = "it went to another worker"
    DRAINED = "this worker is closing"
    TIMEOUT = "it took too long"


class Halted(Exception):
    def __init__(self, why: Halt) -> None:
        super().__init__(why.value)
        self.why = why


class TryAgain(Exception):
    """Makes BullMQ run the job again after its back-off."""


class Run:
    """From fetch to finish."""

    def __init__(self, slot: int, job: LeasedJob) -> None:
        self.slot = slot
        self.job = job
        self.halt: Halt | None = None
        self._ending = False
        self._task: asyncio.Task[Any] | None = None

    def begin_end(self) -> None:
        """From here on the title's stop order is being carried out and interrupts nothing."""
        self._ending = True
        self.halt = None

    def stop(self, why: Halt) -> None:
        if self._ending and why is Halt.STOPPED:
            return
        if self.halt is None:  # a second cancellation would disturb the handler's clean-up
            self.halt = why
            if self._task is not None:
                self._task.cancel()

    async def do(self, work: Coroutine[Any, Any, T], timeout_s: float) -> asyncio.Task[T]:
        """The finished task. Raises Halted when it was made to end before it was done."""
        task = self._task = asyncio.create_task(work)
        try:
            if self.halt is not None:
                task.cancel()
            await asyncio.wait({task}, timeout=timeout_s)
            if not task.done():
                self.stop(Halt.TIMEOUT)
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if self.halt is not None and error_of(task) is not None:
            raise Halted(self.halt)
        return task


def error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()
