"""The producer's side of the job engine on BullMQ and Redis; see `worker` for the rest."""

from collections.abc import Sequence

from media.asset import Failure, Priority
from stores.jobs.base import FailedJob, Jobs, JobState
from stores.jobs.connection import RedisAddress, traits
from stores.jobs.queue import Queue
from stores.trait import Trait

PATIENCE_S = 4  # longer than a restart of Redis, shorter than a user's patience


class BullJobs(Jobs):
    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._queue = Queue(address, PATIENCE_S)

    async def enqueue(self, media_id: str, priority: Priority) -> None:
        with self._address.reaching():
            await self._queue.add_title(media_id, priority)

    async def cancel(self, media_id: str) -> None:
        with self._address.reaching():
            title_id = await self._queue.title_id(media_id)
            if title_id is None:
                return
            await self._queue.stop(title_id, failure=None)
            if not await self._queue.remove_title(title_id):
                await self._queue.remove_waiting_tasks(title_id)

    async def state(self, media_id: str) -> JobState:
        with self._address.reaching():
            title_id = await self._queue.title_id(media_id)
            state = "unknown" if title_id is None else await self._queue.state(title_id)
        finished = {
            "unknown": JobState.MISSING,
            "failed": JobState.FAILED,
            "completed": JobState.COMPLETED,
        }
        return finished.get(state, JobState.PENDING)

    async def failure(self, media_id: str) -> Failure | None:
        with self._address.reaching():
            title_id = await self._queue.title_id(media_id)
            order = None if title_id is None else await self._queue.stop_order(title_id)
        return None if order is None else order.failure

    async def set_priority(self, media_id: str, priority: Priority) -> None:
        with self._address.reaching():
            await self._queue.set_level(media_id, priority)

    async def failed(self, limit: int) -> tuple[FailedJob, ...]:
        with self._address.reaching():
            return await self._queue.failed(limit)

    async def claim(self, chore: str, every_s: float) -> bool:
        with self._address.reaching():
            return await self._queue.claim(chore, every_s)

    async def oldest_s(self) -> dict[Priority, float]:
        with self._address.reaching():
            return await self._queue.oldest_s()

    async def workers(self) -> dict[str, int]:
        with self._address.reaching():
            return await self._queue.workers()

    async def counts(self) -> dict[str, int]:
        with self._address.reaching():
            return await self._queue.counts()

    async def traits(self) -> Sequence[Trait]:
        with self._address.reaching():
            return [*traits(await self._queue.info())]

    async def check(self) -> None:
        with self._address.reaching(first=True):
            self._address.check(await self._queue.info())

    async def close(self) -> None:
        await self._queue.close()
