"""The producer's side of the job engine on BullMQ and Redis; see `worker` for the rest."""

import contextlib
from collections.abc import Iterator

from redis.exceptions import RedisError

from media.asset import Failure, Priority
from stores.errors import Unavailable
from stores.jobs.base import Jobs, JobState
from stores.jobs.queue import Queue

RETRIES = 6  # about 3 s: longer than a restart of Redis, shorter than a user's patience


class BullJobs(Jobs):
    def __init__(self, url: str) -> None:
        self._url = url
        self._queue = Queue(url, RETRIES)

    async def enqueue(self, media_id: str, priority: Priority) -> None:
        with self._reaching():
            await self._queue.add_title(media_id, priority)

    async def cancel(self, media_id: str) -> None:
        with self._reaching():
            title_id = await self._queue.title_id(media_id)
            if title_id is None:
                return
            await self._queue.stop(title_id, failure=None)
            if not await self._queue.remove_title(title_id):
                await self._queue.remove_waiting_tasks(title_id)

    async def state(self, media_id: str) -> JobState:
        with self._reaching():
            title_id = await self._queue.title_id(media_id)
            state = "unknown" if title_id is None else await self._queue.state(title_id)
        finished = {
            "unknown": JobState.MISSING,
            "failed": JobState.FAILED,
            "completed": JobState.COMPLETED,
        }
        return finished.get(state, JobState.PENDING)

    async def failure(self, media_id: str) -> Failure | None:
        with self._reaching():
            title_id = await self._queue.title_id(media_id)
            order = None if title_id is None else await self._queue.stop_order(title_id)
        return None if order is None else order.failure

    async def counts(self) -> dict[str, int]:
        with self._reaching():
            return await self._queue.counts()

    async def check(self) -> None:
        with self._reaching():
            policy = await self._queue.eviction_policy()
        if policy != "noeviction":
            raise Unavailable(
                f"Redis at {self._url} may throw jobs away: its maxmemory-policy is {policy},"
                " set it to noeviction or use another Redis for jobs"
            )

    async def close(self) -> None:
        await self._queue.close()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RedisError as exc:
            raise Unavailable(f"Redis at {self._url} does not answer as it should: {exc}") from exc
