"""BullMQ's queue with types: title jobs and their tasks, in one queue.

Keys, all with the prefix `{headrace}` (the braces keep them in one slot of a Redis Cluster):

    {headrace}:transcode:*          BullMQ's own
    {headrace}:title:<media>        id of the newest title job of a title; expires
    {headrace}:stop:<title job>     stop order for all work on it: a Failure, or null if cancelled
    {headrace}:stop                 channel on which the ids of stopped title jobs are announced
"""

import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import bullmq
import orjson
from bullmq.redis_connection import loadScript
from redis.asyncio import Redis

from media.asset import Failure, Priority
from stores.jobs.base import Task
from stores.jobs.slot import PREFIX, QUEUE, TASK, LeasedJob, connect

STOP_CHANNEL = f"{PREFIX}:stop"
TITLE = "title"
LEVEL = {Priority.HIGH: 1000, Priority.NORMAL: 2000, Priority.LOW: 3000}
MOST_URGENT_BUCKETS = 900  # beyond it all tasks of a level are first come, first served

ATTEMPTS = 4
BACKOFF_MS = 200
KEEP_FINISHED = {"age": 86_400, "count": 1000}
POINTER_S = 86_400
STOP_ORDER_S = 7 * 86_400
TASK_BATCH = 16  # a long title's first tasks start before its last ones are queued


@dataclass(frozen=True, slots=True)
class StopOrder:
    failure: Failure | None  # None: cancelled, nobody wants to hear of it


class Queue:
    def __init__(self, url: str, attempts: int) -> None:
        self.redis = connect(url, attempts)
        self._queue: Any = bullmq.Queue(QUEUE, {"connection": self.redis, "prefix": PREFIX})
        self._remove_children = self.redis.register_script(
            loadScript("removeUnprocessedChildren-2.lua")
        )

    async def close(self) -> None:
        await self._queue.close()

    async def add_title(self, media_id: str, priority: Priority) -> None:
        """A new id each time: the id of a finished job would silently block its successor. The
        deduplication id keeps it to one live job per title."""
        assert ":" not in media_id, "BullMQ's scripts split keys at colons"
        level = LEVEL[priority]
        job = await self._queue.add(
            TITLE,
            {"media": media_id, "level": level},
            {
                "jobId": f"{media_id}.{uuid.uuid4().hex[:12]}",
                "deduplication": {"id": media_id},
                **_options(level),
            },
        )
        await self.redis.set(_pointer_key(media_id), job.id, ex=POINTER_S)

    async def add_tasks(self, title: LeasedJob, tasks: Sequence[Task]) -> None:
        """Ids follow from the names, so adding them again after a crash changes nothing."""
        jobs = [
            self._task_job(title, task) for task in sorted(tasks, key=lambda task: task.urgency)
        ]
        for start in range(0, len(jobs), TASK_BATCH):
            added = await self._queue.addBulk(jobs[start : start + TASK_BATCH])
            refused = [job.name for job in added if not isinstance(job.id, str)]
            if refused:
                raise RuntimeError(f"title job {title.id} is gone: its tasks were refused")

    def _task_job(self, title: LeasedJob, task: Task) -> dict[str, Any]:
        assert ":" not in task.name, "BullMQ's scripts split keys at colons"
        data = {
            "media": title.media_id,
            "title": title.id,
            "level": title.level,
            "task": task.name,
            "urgency": task.urgency,
        }
        options = {
            "jobId": f"{title.id}.{task.name}",
            "parent": {"id": title.id, "queue": self._queue.qualifiedName},
            "failParentOnFailure": True,
            **_options(title.level + 1 + min(task.urgency, MOST_URGENT_BUCKETS)),
        }
        return {"name": TASK, "data": data, "opts": options}

    async def title_id(self, media_id: str) -> str | None:
        live: str | None = await self._queue.getDeduplicationJobId(media_id)
        newest: str | None = live or await self._get(_pointer_key(media_id))
        return newest

    async def state(self, job_id: str) -> str:
        state: str = await self._queue.getJobState(job_id)
        return state

    async def stop(self, title_id: str, failure: Failure | None) -> None:
        """The first failure is the one that is told; a cancellation overrides it."""
        order = orjson.dumps(failure)
        key = _stop_key(title_id)
        await self.redis.set(key, order, ex=STOP_ORDER_S, nx=failure is not None)
        await self.redis.publish(STOP_CHANNEL, title_id)

    async def stop_order(self, title_id: str) -> StopOrder | None:
        order = await self._get(_stop_key(title_id))
        if order is None:
            return None
        fields = orjson.loads(order)
        return StopOrder(None if fields is None else Failure(**fields))

    async def remove_title(self, title_id: str) -> bool:
        """The title job and all its tasks, in whatever state; False if any is being run."""
        return bool(await self._queue.remove(title_id))

    async def remove_waiting_tasks(self, title_id: str) -> int:
        """Returns how many are left because a worker holds them."""
        key = self._queue.toKey(title_id)
        await self._remove_children(
            keys=[key, self._queue.toKey("meta")], args=[self._queue.toKey(""), title_id]
        )
        return await self.redis.scard(f"{key}:dependencies")

    async def counts(self) -> dict[str, int]:
        key = self._queue.toKey
        states = ("active", "delayed", "failed", "waiting-children")
        counts: dict[str, int] = await self._queue.getJobCounts(*states, "wait")
        # What a dead worker held goes before everything else.
        recovered = counts.pop("wait")
        for priority, level in LEVEL.items():
            score = level << 32  # BullMQ's score is priority * 2**32 + a counter
            counts[f"waiting-{priority}"] = await self.redis.zcount(
                key("prioritized"), score, f"({score + (1000 << 32)}"
            )
        counts[f"waiting-{Priority.HIGH}"] += recovered
        return counts

    async def _get(self, key: str) -> str | None:
        value = await self.redis.get(key)
        assert not isinstance(value, bytes), "the client decodes responses"
        return value

    async def eviction_policy(self) -> str:
        memory = await self.redis.info("memory")
        return str(memory["maxmemory_policy"])


async def stop_announcements(redis: Redis) -> AsyncGenerator[str | None, None]:
    """Ids of title jobs to stop; None whenever the channel was (re)opened, for then some may
    have been missed."""
    async with redis.pubsub() as channel:
        await channel.subscribe(STOP_CHANNEL)
        while True:
            message = await channel.get_message(timeout=5)
            if message is not None:
                yield message["data"] if message["type"] == "message" else None


def _options(priority: int) -> dict[str, Any]:
    assert priority > 0, "BullMQ runs jobs without a priority before all others"
    return {
        "priority": priority,
        "attempts": ATTEMPTS,
        "backoff": {"type": "exponential", "delay": BACKOFF_MS},
        "removeOnComplete": KEEP_FINISHED,
        "removeOnFail": KEEP_FINISHED,
        "stackTraceLimit": 0,
    }


def _pointer_key(media_id: str) -> str:
    return f"{PREFIX}:title:{media_id}"


def _stop_key(title_id: str) -> str:
    return f"{PREFIX}:stop:{title_id}"
