"""What operators and chores ask of the queue."""

import asyncio
import time
from pathlib import Path

from media.asset import Failure, Priority
from stores.jobs.base import JobState
from stores.jobs.connection import RedisAddress
from stores.jobs.queue import FAILED_PAGE
from tests.stores.engine import FATAL, TRANSIENT, Engine, Script, open_engine

DAMAGED = Script(plan=["fatal"])


async def failing(engine: Engine, *media_ids: str) -> None:
    for media_id in media_ids:
        await engine.jobs.enqueue(media_id, Priority.NORMAL)
        assert await engine.settled(media_id) is JobState.FAILED


async def listed(engine: Engine, limit: int = 1000) -> list[str]:
    return [failed.media_id for failed in await engine.jobs.failed(limit)]


def test_titles_that_failed_are_listed_newest_first(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker():
            assert await engine.jobs.failed(10) == ()
            before_ms = time.time() * 1000
            engine.script("a", DAMAGED)
            engine.script("b.1", Script({"one": ["busy"], "two": ["ok"]}))
            engine.script("c", DAMAGED)
            await failing(engine, "a", "b.1", "c")
            failed = await engine.jobs.failed(10)
            assert [(job.media_id, job.failure) for job in failed] == [
                ("c", FATAL),
                ("b.1", TRANSIENT),
                ("a", FATAL),
            ]
            times = [job.failed_at_ms for job in failed]
            assert times == sorted(times, reverse=True)
            assert before_ms - 1 <= times[-1] <= times[0] <= time.time() * 1000
            assert await listed(engine, 2) == ["c", "b.1"]
            assert await listed(engine, 0) == []

    asyncio.run(scenario())


def test_what_was_queued_again_or_cancelled_is_not_listed(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker():
            engine.script("a", Script(plan=["fatal", "ok"]))
            engine.script("b", Script(plan=["fatal", "fatal"]))
            engine.script("c", DAMAGED)
            await failing(engine, "a", "b", "c", "b")
            assert await listed(engine) == ["b", "c", "a"]
            await engine.jobs.enqueue("a", Priority.NORMAL)
            assert await listed(engine) == ["b", "c"]
            assert await engine.settled("a") is JobState.COMPLETED
            await engine.jobs.cancel("c")
            assert await listed(engine) == ["b"]

    asyncio.run(scenario())


def test_failed_tasks_do_not_crowd_out_titles(tmp_path: Path, external: RedisAddress) -> None:
    """Every failed title leaves its failed task beside it, and there is more than one page."""

    async def scenario() -> None:
        media_ids = [f"m{n}" for n in range(FAILED_PAGE)]
        async with open_engine(tmp_path, where=external) as engine, engine.worker(slots=8):
            for media_id in media_ids:
                engine.script(media_id, Script({"a": ["fatal"]}))
                await engine.jobs.enqueue(media_id, Priority.NORMAL)
            for media_id in media_ids:
                assert await engine.settled(media_id) is JobState.FAILED
            assert (await engine.jobs.counts())["failed"] == 2 * FAILED_PAGE
            found = await listed(engine)
            assert sorted(found) == sorted(media_ids)
            assert await listed(engine, FAILED_PAGE - 1) == found[:-1]

    asyncio.run(scenario())


def test_an_error_of_the_engine_itself_is_listed_too(
    tmp_path: Path, external: RedisAddress
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=external) as engine, engine.worker():
            engine.script("m1", Script({"not:allowed": ["ok"]}))
            await failing(engine, "m1")
            (failed,) = await engine.jobs.failed(10)
            assert failed.failure == Failure(
                "internal", "BullMQ's scripts split keys at colons", retryable=True
            )

    asyncio.run(scenario())


def test_a_chore_is_claimed_once_a_period(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            claims = await asyncio.gather(*(engine.jobs.claim("sweep", 0.5) for _ in range(20)))
            assert sum(claims) == 1
            assert await engine.jobs.claim("collect", 60)
            async with asyncio.timeout(120):
                while not await engine.jobs.claim("sweep", 60):
                    await asyncio.sleep(0.05)
            assert not await engine.jobs.claim("sweep", 60)
            assert not await engine.jobs.claim("collect", 60)

    asyncio.run(scenario())


def test_installations_that_share_a_redis_see_nothing_of_each_other(
    tmp_path: Path, external: RedisAddress
) -> None:
    async def scenario() -> None:
        other = RedisAddress("{other}", host=external.host, port=external.port, password="test")
        async with (
            open_engine(tmp_path, where=external) as ours,
            open_engine(tmp_path, where=other) as theirs,
            ours.worker(),
        ):
            ours.script("m1", DAMAGED)
            await failing(ours, "m1")
            assert await ours.jobs.claim("sweep", 60)
            assert await theirs.jobs.state("m1") is JobState.MISSING
            assert await theirs.jobs.failed(10) == ()
            assert await theirs.jobs.workers() == {}
            assert set((await theirs.jobs.counts()).values()) == {0}
            assert await theirs.jobs.claim("sweep", 0.001)

    asyncio.run(scenario())
