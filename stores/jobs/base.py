"""Work that survives the death of any process: one job per title, fanned out into tasks.

    title job:  plan -> (tasks run in parallel, anywhere) -> join
                  any task failing for good -> fail

At-least-once: `plan`, `run` and `join` may run again after a crash, so they must be idempotent;
the catalog's conditional writes make them so. Cancellation reaches a running `plan`, `run` or
`join` as asyncio.CancelledError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from media.asset import Failure, Priority
from stores.trait import Trait


@dataclass(frozen=True, slots=True)
class Task:
    """`name` is unique within a title: `video-00007`, `audio`."""

    name: str
    urgency: int  # 0 first; orders the tasks of one priority


class TaskFailed(Exception):
    """Raised by a handler to fail with a reason; `failure.retryable` says whether trying again
    may help. Any other exception counts as retryable and internal."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TitleHandler:
    """What a worker does with a title. Implemented by transcoder/."""

    async def plan(self, media_id: str) -> Sequence[Task]:
        raise NotImplementedError

    async def run(self, media_id: str, task: Task) -> None:
        raise NotImplementedError

    async def join(self, media_id: str) -> None:
        """Every task has succeeded."""
        raise NotImplementedError

    async def fail(self, media_id: str, failure: Failure) -> None:
        """The title's job has failed for good."""
        raise NotImplementedError


class JobState(StrEnum):
    MISSING = "missing"
    PENDING = "pending"  # waiting, delayed, running, or waiting for its tasks
    FAILED = "failed"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class FailedJob:
    media_id: str
    failure: Failure
    failed_at_ms: int


class Jobs:
    """The producer's side."""

    async def enqueue(self, media_id: str, priority: Priority) -> None:
        """Idempotent: a title whose job is live is not enqueued twice."""
        raise NotImplementedError

    async def cancel(self, media_id: str) -> None:
        """Stop and forget all work on a title, running tasks included, wherever they run.

        Does not wait for running tasks to end: the state is PENDING until they have, then
        MISSING. May be called again, which also clears away what a dead worker held.
        """
        raise NotImplementedError

    async def state(self, media_id: str) -> JobState:
        raise NotImplementedError

    async def failure(self, media_id: str) -> Failure | None:
        """Why the job failed for good: for the reconciler, should `TitleHandler.fail` have
        failed too. None if it did not fail, or too long ago to be remembered."""
        raise NotImplementedError

    async def set_priority(self, media_id: str, priority: Priority) -> None:
        """Of everything of the title that waits, and of what is added for it later. Does nothing
        for a title without a live job; what is running goes on."""
        raise NotImplementedError

    async def failed(self, limit: int) -> tuple[FailedJob, ...]:
        """Titles whose job has failed for good, newest first, for as long as it is remembered."""
        raise NotImplementedError

    async def claim(self, chore: str, every_s: float) -> bool:
        """True for one caller per period, over all machines: a chore that one of them is enough
        for. The period begins with the claim."""
        raise NotImplementedError

    async def counts(self) -> dict[str, int]:
        """Jobs and tasks by state (`active`, `delayed`, `failed`, `waiting-children`) and, of
        those waiting, by priority (`waiting-high`, `waiting-normal`, `waiting-low`)."""
        raise NotImplementedError

    async def oldest_s(self) -> dict[Priority, float]:
        """How long the oldest task has waited that nobody has begun, by priority; 0 if none."""
        raise NotImplementedError

    async def workers(self) -> dict[str, int]:
        """The worker processes that are connected, `host.pid`, with the slots of each; none
        where the engine does not tell."""
        raise NotImplementedError

    async def traits(self) -> Sequence[Trait]:
        """What an operator has set up, for a pre-flight. Raises Unavailable."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises Unavailable, with what to do about it, when the engine cannot be used."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Worker:
    """The consumer's side: `slots` tasks at a time, in this process."""

    async def run(self) -> None:
        """Work until `drain` is called."""
        raise NotImplementedError

    def is_alive(self) -> bool:
        """Whether it works or asks for work; also while the engine is away, which another
        process would not change."""
        raise NotImplementedError

    async def drain(self, grace_s: float) -> None:
        """Take nothing new; let running tasks finish for `grace_s`, then hand them back to the
        queue unharmed. `run` returns afterwards."""
        raise NotImplementedError
