"""BullMQ's queue with types: title jobs and their tasks, in one queue.

Keys, all with one prefix (its braces keep them in one slot of a Redis Cluster):

    {headrace}:transcode:*          BullMQ's own
    {headrace}:title:<media>        id of the newest title job of a title; expires
    {headrace}:stop:<title job>     stop order for all work on it: a Failure, or null if cancelled
    {headrace}:stop                 channel on which the ids of stopped title jobs are announced
    {headrace}:chore:<name>         is claimed; expires when it is due again
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import bullmq
import orjson
from bullmq.redis_connection import loadScript

from media.asset import Failure, Priority
from stores import tracing
from stores.jobs.base import FailedJob, Task
from stores.jobs.connection import RedisAddress
from stores.jobs.priority import LEVEL, Levels, number
from stores.jobs.slot import QUEUE, TASK

TITLE = "title"

ATTEMPTS = 4
BACKOFF_MS = 200
KEEP_FINISHED = {"age": 86_400, "count": 1000}
POINTER_S = 86_400
STOP_ORDER_S = 7 * 86_400
FAILED_PAGE = 100
TASK_BATCH = 16  # a long title's first tasks start before its last ones are queued


@dataclass(frozen=True, slots=True)
class StopOrder:
    failure: Failure | None  # None: cancelled, nobody wants to hear of it


class Queue:
    def __init__(self, address: RedisAddress, patience_s: int) -> None:
        self.redis = address.connect(patience_s)
        self._prefix = address.prefix
        self._stop_channel = f"{address.prefix}:stop"
        options = {"connection": self.redis, "prefix": address.prefix}
        self._queue: Any = bullmq.Queue(QUEUE, options)
        self._levels = Levels(self.redis, self._queue.toKey(""))
        self._remove_children = self.redis.register_script(
            loadScript("removeUnprocessedChildren-2.lua")
        )

    async def close(self) -> None:
        await self._queue.close()

    async def add_title(self, media_id: str, priority: Priority) -> None:
        """A new id each time: the id of a finished job would silently block its successor. The
        deduplication id keeps it to one live job per title."""
        assert ":" not in media_id, "BullMQ's scripts split keys at colons"
        job = await self._queue.add(
            TITLE,
            {"media": media_id, **_trace()},
            {
                "jobId": f"{media_id}.{uuid.uuid4().hex[:12]}",
                "deduplication": {"id": media_id},
                **_options(LEVEL[priority]),
            },
        )
        await self.redis.set(self._pointer_key(media_id), job.id, ex=POINTER_S)

    async def add_tasks(self, media_id: str, title_id: str, tasks: Sequence[Task]) -> None:
        """Ids follow from the names, so adding them again after a crash changes nothing."""
        ordered = sorted(tasks, key=lambda task: task.urgency)
        for start in range(0, len(ordered), TASK_BATCH):
            level = await self._levels.of(title_id)
            if level is None:
                raise RuntimeError(f"title job {title_id} is gone: its tasks are refused")
            batch = [
                self._task_job(media_id, title_id, task, level)
                for task in ordered[start : start + TASK_BATCH]
            ]
            # One by one, as a pipeline of a cluster takes no scripts.
            await asyncio.gather(*(self._queue.add(TASK, *job) for job in batch))
        await self._levels.set(title_id, None)

    def _task_job(
        self, media_id: str, title_id: str, task: Task, level: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its data and its options."""
        assert ":" not in task.name, "BullMQ's scripts split keys at colons"
        data = {
            "media": media_id,
            "title": title_id,
            "task": task.name,
            "urgency": task.urgency,
            **_trace(),
        }
        options = {
            "jobId": f"{title_id}.{task.name}",
            "parent": {"id": title_id, "queue": self._queue.qualifiedName},
            "failParentOnFailure": True,
            **_options(number(level, task.urgency)),
        }
        return data, options

    async def set_level(self, media_id: str, priority: Priority) -> None:
        live: str | None = await self._queue.getDeduplicationJobId(media_id)
        if live is not None:
            await self._levels.set(live, LEVEL[priority])

    async def title_id(self, media_id: str) -> str | None:
        live: str | None = await self._queue.getDeduplicationJobId(media_id)
        newest: str | None = live or await self._get(self._pointer_key(media_id))
        return newest

    async def state(self, job_id: str) -> str:
        state: str = await self._queue.getJobState(job_id)
        return state

    async def stop(self, title_id: str, failure: Failure | None) -> None:
        """The first failure is the one that is told; a cancellation overrides it."""
        order = orjson.dumps(failure)
        key = self._stop_key(title_id)
        await self.redis.set(key, order, ex=STOP_ORDER_S, nx=failure is not None)
        await self.redis.publish(self._stop_channel, title_id)

    async def stop_order(self, title_id: str) -> StopOrder | None:
        order = await self._get(self._stop_key(title_id))
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
        states = ("active", "delayed", "failed", "waiting-children")
        counts: dict[str, int] = await self._queue.getJobCounts(*states, "wait")
        # What a dead worker held goes before everything else.
        recovered = counts.pop("wait")
        for priority, level in LEVEL.items():
            counts[f"waiting-{priority}"] = await self._levels.waiting(level)
        counts[f"waiting-{Priority.HIGH}"] += recovered
        return counts

    async def oldest_s(self) -> dict[Priority, float]:
        now_ms = time.time() * 1000
        found: dict[Priority, float] = {}
        for priority, level in LEVEL.items():
            since_ms = await self._levels.waiting_since_ms(level)
            found[priority] = 0.0 if since_ms is None else max(0.0, now_ms - since_ms) / 1000
        return found

    async def failed(self, limit: int) -> tuple[FailedJob, ...]:
        """Of titles that were not queued again since, newest first."""
        found: list[FailedJob] = []
        start = 0
        while len(found) < limit:
            jobs = await self._queue.getJobs(["failed"], start, start + FAILED_PAGE - 1)
            titles = [job for job in jobs if job.name == TITLE]
            newest = await self._newest([job.data["media"] for job in titles])
            found += [_failed(job) for job in titles if newest[job.data["media"]] in (None, job.id)]
            if len(jobs) < FAILED_PAGE:
                break
            start += FAILED_PAGE
        return tuple(found[:limit])

    async def _newest(self, media_ids: Sequence[str]) -> dict[str, str | None]:
        """The newest title jobs; None: forgotten."""
        keys = [self._pointer_key(media_id) for media_id in media_ids]
        newest: Any = await self.redis.mget(keys) if keys else []
        return dict(zip(media_ids, newest, strict=True))

    async def claim(self, chore: str, every_s: float) -> bool:
        key = f"{self._prefix}:chore:{chore}"
        return bool(await self.redis.set(key, "1", nx=True, px=round(every_s * 1000)))

    async def info(self) -> dict[str, Any]:
        info: dict[str, Any] = await self.redis.info()
        return info

    async def workers(self) -> dict[str, int]:
        """From the names of connections, of which a slot has several."""
        connections = await self._queue.get_workers()
        names = {connection.get("rawname", "").partition(":w:")[2] for connection in connections}
        return dict(Counter(name.rpartition(".")[0] for name in sorted(names - {""})))

    async def stop_announcements(self) -> AsyncGenerator[str | None, None]:
        """Ids of title jobs to stop; None whenever the channel was (re)opened, for then some may
        have been missed."""
        await self.redis.initialize()  # only then does a client of a cluster know its nodes
        async with self.redis.pubsub() as channel:
            await channel.subscribe(self._stop_channel)
            while True:
                message = await channel.get_message(timeout=5)
                if message is not None:
                    yield message["data"] if message["type"] == "message" else None

    async def _get(self, key: str) -> str | None:
        value = await self.redis.get(key)
        assert not isinstance(value, bytes), "the client decodes responses"
        return value

    def _pointer_key(self, media_id: str) -> str:
        return f"{self._prefix}:title:{media_id}"

    def _stop_key(self, title_id: str) -> str:
        return f"{self._prefix}:stop:{title_id}"


def _trace() -> dict[str, str]:
    """What a worker continues, wherever it is."""
    parent = tracing.parent()
    return {} if parent is None else {"trace": parent}


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


def _failed(job: Any) -> FailedJob:
    return FailedJob(job.data["media"], _failure(job.failedReason or ""), job.finishedOn)


def _failure(reason: str) -> Failure:
    """A worker writes a Failure; anything else is an error inside the engine."""
    try:
        return Failure(**orjson.loads(reason))
    except (orjson.JSONDecodeError, TypeError):
        return Failure("internal", reason, retryable=True)
