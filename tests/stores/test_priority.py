import asyncio
import random
from pathlib import Path

from media.asset import Priority
from stores.jobs.base import JobState, Task
from stores.jobs.connection import RedisAddress
from stores.jobs.queue import Queue
from tests.stores.engine import Engine, Script, open_engine

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


async def waiting(engine: Engine) -> tuple[int, int, int]:
    counts = await engine.jobs.counts()
    return counts["waiting-high"], counts["waiting-normal"], counts["waiting-low"]


def test_a_title_is_moved_while_it_waits(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            for media_id, priority in [("a", LOW), ("b", LOW), ("c", NORMAL), ("d", HIGH)]:
                await engine.jobs.enqueue(engine.script(media_id, Script(tasks={})), priority)
            await engine.jobs.set_priority("b", HIGH)
            await engine.jobs.set_priority("c", LOW)
            await engine.jobs.set_priority("d", HIGH)  # as it is: it keeps its place
            assert await waiting(engine) == (2, 0, 2)
            async with engine.worker():
                await asyncio.gather(*map(engine.settled, "abcd"))
        assert engine.events("plan") == ["plan d", "plan b", "plan a", "plan c"]

    asyncio.run(scenario())


def test_the_oldest_is_one_that_nobody_has_begun(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            assert await engine.jobs.oldest_s() == {HIGH: 0, NORMAL: 0, LOW: 0}
            tasks = {f"t{n}": ["ok"] for n in range(40)}  # of as many buckets
            engine.script("a", Script({"held": ["hold"]} | tasks))
            for media_id in ("b", "c"):
                engine.script(media_id, Script(tasks={}))
            await engine.jobs.enqueue("b", LOW)
            await engine.jobs.enqueue("a", HIGH)
            async with engine.worker() as worker:
                await engine.until("run a held")
                await engine.jobs.enqueue("c", LOW)
                oldest = await engine.jobs.oldest_s()
                assert oldest[LOW] > oldest[HIGH] > 0 == oldest[NORMAL]
                await worker.drain(0)  # puts a task back, which waits beside those that never ran
            assert (await engine.jobs.oldest_s())[HIGH] > oldest[HIGH]

    asyncio.run(scenario())


def test_tasks_are_moved_with_their_title_and_keep_their_order(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        tasks = {f"t{n}": ["ok"] for n in range(12)}
        async with open_engine(tmp_path, where=where) as engine:
            for media_id in ("a", "b"):
                engine.script(media_id, Script({"held": ["hold"]} | tasks))
                await engine.jobs.enqueue(media_id, NORMAL)
            async with engine.worker():
                await engine.until("run a held")
                assert await waiting(engine) == (0, 2 * 12 + 1, 0)
                await engine.jobs.set_priority("b", HIGH)
                assert await waiting(engine) == (13, 12, 0)
                engine.release()
                await asyncio.gather(*map(engine.settled, "ab"))
        done = engine.events("did run", "did join")
        order = [f"did run b {name}" for name in ("held", *tasks)]
        assert done[1:15] == [*order, "did join b"]
        assert done[15:] == [*(f"did run a {name}" for name in tasks), "did join a"]

    asyncio.run(scenario())


def test_what_is_put_back_or_tried_again_waits_at_the_new_priority(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            engine.script("a", Script({"held": ["hold", "ok"]}))
            await engine.jobs.enqueue("a", LOW)
            async with engine.worker() as worker:
                await engine.until("run a held")
                await engine.jobs.set_priority("a", HIGH)
                await worker.drain(0)
            for media_id in ("b", "c"):
                await engine.jobs.enqueue(engine.script(media_id, Script(tasks={})), NORMAL)
            async with engine.worker():
                await asyncio.gather(*map(engine.settled, "abc"))
        assert engine.events("run", "join") == [
            *("run a held", "run a held", "join a"),
            *("join b", "join c"),
        ]

    asyncio.run(scenario())


def test_only_a_live_title_has_a_priority(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            await engine.jobs.set_priority("never seen", HIGH)
            async with engine.worker():
                await engine.jobs.enqueue(engine.script("a"), NORMAL)
                assert await engine.settled("a") is JobState.COMPLETED
            await engine.jobs.set_priority("a", HIGH)
            assert await waiting(engine) == (0, 0, 0)
            assert await engine.jobs.state("a") is JobState.COMPLETED

    asyncio.run(scenario())


def test_no_task_is_left_behind_whenever_the_priority_changes(
    tmp_path: Path, external: RedisAddress
) -> None:
    """While tasks are added, or after whoever added them died half-way and before another begins
    anew."""
    dice = random.Random(1)
    tasks = [Task(f"t{n}", n) for n in range(16)]

    async def moment() -> None:
        await asyncio.sleep(dice.random() / 200)

    async def change(engine: Engine, media_id: str) -> None:
        await moment()
        await engine.jobs.set_priority(media_id, dice.choice([HIGH, LOW]))

    async def scenario() -> None:
        async with open_engine(tmp_path, where=external) as engine:
            queue = Queue(external, 0)
            for media_id in map(str, range(100)):
                await engine.jobs.enqueue(media_id, NORMAL)
                title_id = await queue.title_id(media_id)
                assert title_id is not None
                changing = asyncio.create_task(change(engine, media_id))
                adding = asyncio.create_task(queue.add_tasks(media_id, title_id, tasks))
                if dice.random() < 0.5:
                    await moment()
                    adding.cancel()
                    await asyncio.wait({adding})
                    adding = asyncio.create_task(queue.add_tasks(media_id, title_id, tasks))
                await asyncio.gather(changing, adding)
                assert sorted(await waiting(engine)) == [0, 0, 17]
                await engine.jobs.cancel(media_id)
            await queue.close()

    asyncio.run(scenario())


def test_the_last_of_many_changes_holds_for_all(tmp_path: Path, external: RedisAddress) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=external) as engine:
            queue = Queue(external, 0)
            await engine.jobs.enqueue("a", NORMAL)
            title_id = await queue.title_id("a")
            assert title_id is not None
            await queue.add_tasks("a", title_id, [Task(f"t{n}", n) for n in range(1000)])
            changes = [engine.jobs.set_priority("a", level) for level in [HIGH, LOW] * 5]
            await asyncio.gather(*changes)
            assert sorted(await waiting(engine)) == [0, 0, 1001]
            await queue.close()

    asyncio.run(scenario())
