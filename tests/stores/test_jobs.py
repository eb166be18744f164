import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from media.asset import Failure, Priority
from stores.errors import Unavailable
from stores.jobs.base import JobState
from stores.jobs.bull import BullJobs
from stores.jobs.connection import RedisAddress
from stores.jobs.queue import ATTEMPTS
from tests.stores.engine import FATAL, PATIENCE, Script, open_engine


def test_a_title_is_planned_then_run_then_joined(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker(slots=3):
            tasks = {f"video-{n:05d}": ["ok"] for n in range(120)}
            await engine.jobs.enqueue(engine.script("m1", Script(tasks)), Priority.NORMAL)
            assert await engine.settled("m1") is JobState.COMPLETED
            done = engine.events("did")
            assert done[0] == "did plan m1"
            assert done[-1] == "did join m1"
            assert sorted(done[1:-1]) == [f"did run m1 {name}" for name in tasks]
            assert await engine.jobs.failure("m1") is None

    asyncio.run(scenario())


def test_a_title_without_tasks_is_joined(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker():
            await engine.jobs.enqueue(engine.script("m1", Script(tasks={})), Priority.NORMAL)
            assert await engine.settled("m1") is JobState.COMPLETED
            assert engine.events("did") == ["did plan m1", "did join m1"]

    asyncio.run(scenario())


def test_jobs_run_by_priority_then_urgency_then_age(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            script = Script({"first": ["ok"], "second": ["ok"]})
            for media_id, priority in [
                ("low", Priority.LOW),
                ("n1", Priority.NORMAL),
                ("n2", Priority.NORMAL),
                ("high", Priority.HIGH),
            ]:
                await engine.jobs.enqueue(engine.script(media_id, script), priority)
            waiting = await engine.jobs.counts()
            assert (waiting["waiting-high"], waiting["waiting-normal"]) == (1, 2)
            assert waiting["waiting-low"] == 1
            async with engine.worker(slots=1):
                await engine.settled("low")
        assert engine.events("plan", "run", "join") == [
            *("plan high", "run high first", "run high second", "join high"),
            *("plan n1", "plan n2", "run n1 first", "run n2 first"),
            *("run n1 second", "join n1", "run n2 second", "join n2"),
            *("plan low", "run low first", "run low second", "join low"),
        ]

    asyncio.run(scenario())


def test_enqueueing_a_live_title_again_changes_nothing(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            engine.script("m1", Script({"audio": ["hold"]}))
            await asyncio.gather(*(engine.jobs.enqueue("m1", Priority.LOW) for _ in range(5)))
            async with engine.worker(slots=2):
                await engine.until("run m1 audio")
                await engine.jobs.enqueue("m1", Priority.HIGH)
                engine.release()
                assert await engine.settled("m1") is JobState.COMPLETED
                assert engine.events("plan", "run", "join") == [
                    "plan m1",
                    "run m1 audio",
                    "join m1",
                ]

                await engine.jobs.enqueue("m1", Priority.NORMAL)
                assert await engine.settled("m1") is JobState.COMPLETED
                assert engine.events().count("join m1") == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", [["busy"] * 2, ["bug"] * 2, ["away"] * 3, ["away"] * 7])
@pytest.mark.parametrize("step", ["plan", "task", "join", "fail"])
def test_what_may_succeed_later_is_tried_again(
    tmp_path: Path, trouble: list[str], step: str
) -> None:
    async def scenario() -> None:
        acts = [*trouble, "ok"]
        script = {
            "plan": Script(plan=acts),
            "task": Script({"audio": acts}),
            "join": Script(join=acts),
            "fail": Script({"audio": ["fatal"]}, fail=acts),
        }[step]
        done = "did fail m1 unplayable" if step == "fail" else "did join m1"
        async with open_engine(tmp_path) as engine, engine.worker():
            await engine.jobs.enqueue(engine.script("m1", script), Priority.NORMAL)
            await engine.settled("m1")
            assert engine.events("did")[-1] == done
            assert engine.events("did").count(done) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("act", "runs", "code"),
    [
        ("fatal", 1, "unplayable"),
        ("busy", ATTEMPTS, "busy"),
        ("bug", ATTEMPTS, "internal"),
        ("away", PATIENCE.waits + ATTEMPTS, "store_unavailable"),
    ],
)
@pytest.mark.parametrize("step", ["plan", "task", "join"])
def test_a_title_fails_once_and_for_a_reason(
    tmp_path: Path, step: str, act: str, runs: int, code: str
) -> None:
    async def scenario() -> None:
        script, event = {
            "plan": (Script(plan=[act]), "plan m1"),
            "task": (Script({"audio": [act]}), "run m1 audio"),
            "join": (Script(join=[act]), "join m1"),
        }[step]
        async with open_engine(tmp_path) as engine, engine.worker():
            await engine.jobs.enqueue(engine.script("m1", script), Priority.NORMAL)
            assert await engine.settled("m1") is JobState.FAILED
            assert engine.events().count(event) == runs
            assert engine.events("fail") == [f"fail m1 {code}"]
            failure = await engine.jobs.failure("m1")
            assert failure is not None
            assert failure.code == code

    asyncio.run(scenario())


def test_a_bug_is_named_and_may_be_retried(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine, engine.worker():
            engine.script("m1", Script({"video-00007": ["bug"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.settled("m1")
            assert await engine.jobs.failure("m1") == Failure(
                "internal",
                "task video-00007 failed: an unexpected error, see the worker's log",
                retryable=True,
            )

    asyncio.run(scenario())


def test_a_failing_task_stops_its_siblings(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        tasks = {"one": ["hold"], "two": ["fatal"], "three": ["ok"], "four": ["ok"]}
        async with open_engine(tmp_path, where=where) as engine, engine.worker(slots=2):
            await engine.jobs.enqueue(engine.script("m1", Script(tasks)), Priority.NORMAL)
            assert await engine.settled("m1") is JobState.FAILED
            await engine.until("cancelled run m1 one")
            assert await engine.jobs.failure("m1") == FATAL
            # The other slot may have taken a third task in the moment before the stop order.
            assert "run m1 four" not in engine.events()
            assert "join m1" not in engine.events()
            counts = await engine.jobs.counts()
            assert counts["failed"] == 2  # the task and the title
            assert counts["waiting-normal"] == counts["waiting-children"] == 0

    asyncio.run(scenario())


def test_recording_a_failure_is_not_stopped_by_its_own_stop_order(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker(slots=2):
            engine.script("m1", Script(plan=["fatal"], fail=["hold"]))
            engine.script("m2", Script({"audio": ["hold"]}))
            await engine.jobs.enqueue("m2", Priority.NORMAL)
            await engine.until("run m2 audio")
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("fail m1 unplayable")
            await engine.jobs.cancel("m2")  # is announced after m1's stop order
            await engine.until("cancelled run m2 audio")
            engine.release()
            assert await engine.settled("m1") is JobState.FAILED
            assert engine.events("fail", "did fail", "cancelled fail") == [
                "fail m1 unplayable",
                "did fail m1 unplayable",
            ]

    asyncio.run(scenario())


def test_a_failure_that_cannot_be_recorded_is_remembered(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker():
            engine.script("m1", Script({"audio": ["fatal"]}, fail=["bug"]))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            assert await engine.settled("m1") is JobState.FAILED
            assert engine.events("did fail") == []
            assert await engine.jobs.failure("m1") == FATAL

    asyncio.run(scenario())


@pytest.mark.parametrize("step", ["plan", "task", "join"])
def test_a_cancelled_title_stops_and_is_forgotten(
    tmp_path: Path, where: RedisAddress | None, step: str
) -> None:
    async def scenario() -> None:
        script, event = {
            "plan": (Script(plan=["hold"]), "plan m1"),
            "task": (Script({"a": ["hold"], "b": ["hold"], "c": ["hold"]}), "run m1 b"),
            "join": (Script(join=["hold"]), "join m1"),
        }[step]
        async with open_engine(tmp_path, where=where) as engine, engine.worker(slots=2):
            await engine.jobs.enqueue(engine.script("m1", script), Priority.NORMAL)
            await engine.until(event)
            await engine.jobs.cancel("m1")
            await engine.until(f"cancelled {event}")
            assert await engine.settled("m1") is JobState.MISSING
            assert engine.events("fail", "did join", "run m1 c") == []
            assert set((await engine.jobs.counts()).values()) == {0}

    asyncio.run(scenario())


def test_a_waiting_title_is_cancelled_at_once(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            await engine.jobs.enqueue(engine.script("m1"), Priority.NORMAL)
            await engine.jobs.cancel("m1")
            assert await engine.jobs.state("m1") is JobState.MISSING
            await engine.jobs.cancel("m1")
            await engine.jobs.cancel("never seen")
            await engine.jobs.enqueue(engine.script("m2"), Priority.NORMAL)
            async with engine.worker():
                assert await engine.settled("m2") is JobState.COMPLETED
            assert engine.events("plan") == ["plan m2"]

    asyncio.run(scenario())


def test_a_title_with_waiting_tasks_is_cancelled_without_a_worker(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            async with engine.worker() as worker:
                engine.script("m1", Script({"a": ["hold"], "b": ["hold"]}))
                await engine.jobs.enqueue("m1", Priority.NORMAL)
                await engine.until("run m1 a")
                await worker.drain(0)
            assert await engine.jobs.state("m1") is JobState.PENDING
            await engine.jobs.cancel("m1")
            assert await engine.jobs.state("m1") is JobState.MISSING
            assert set((await engine.jobs.counts()).values()) == {0}

    asyncio.run(scenario())


def test_a_job_that_takes_too_long_fails_without_another_try(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine, engine.worker(timeout_s=2):
            engine.script("m1", Script({"audio": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            assert await engine.settled("m1") is JobState.FAILED
            assert engine.events("run", "cancelled run") == [
                "run m1 audio",
                "cancelled run m1 audio",
            ]
            assert await engine.jobs.failure("m1") == Failure(
                "timeout", "task audio took longer than 2 s", retryable=True
            )

    asyncio.run(scenario())


def test_an_unknown_title_is_missing(tmp_path: Path, where: RedisAddress | None) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            assert await engine.jobs.state("m1") is JobState.MISSING
            assert await engine.jobs.failure("m1") is None

    asyncio.run(scenario())


def test_draining_finishes_what_runs_and_leaves_what_waits(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            engine.script("m1", Script({"a": ["hold"], "b": ["ok"]}))
            async with engine.worker() as worker:
                await engine.jobs.enqueue("m1", Priority.NORMAL)
                await engine.until("run m1 a")
                draining = asyncio.create_task(worker.drain(20))
                await asyncio.sleep(0)
                engine.release()
                await draining
            assert engine.events("did", "cancelled") == ["did plan m1", "did run m1 a"]
            async with engine.worker():
                assert await engine.settled("m1") is JobState.COMPLETED
            assert engine.events().count("run m1 a") == 1

    asyncio.run(scenario())


def test_draining_hands_back_what_does_not_finish_in_time(
    tmp_path: Path, where: RedisAddress | None
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine:
            engine.script("m1", Script({"a": ["hold"]}))
            async with engine.worker() as first:
                await engine.jobs.enqueue("m1", Priority.NORMAL)
                await engine.until("run m1 a")
                async with engine.worker():
                    await first.drain(0)
                    engine.release()
                    assert await engine.settled("m1") is JobState.COMPLETED
            runs = [event for event in engine.events() if "run m1 a" in event]
            assert runs == ["run m1 a", "cancelled run m1 a", "run m1 a", "did run m1 a"]
            assert engine.events("fail") == []

    asyncio.run(scenario())


def test_the_check_tells_that_redis_is_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine:
            await engine.jobs.check()
            address = engine.address
        jobs = BullJobs(address)
        with pytest.raises(Unavailable, match=r"Redis at .* does not answer as it should"):
            await jobs.check()
        await jobs.close()

    asyncio.run(scenario())


def test_worker_lives_while_it_works_or_asks_for_work(
    tmp_path: Path, where: RedisAddress | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=where) as engine, engine.worker(slots=1) as worker:
            assert worker.is_alive()
            engine.script("m1", Script({"held": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 held")
            monkeypatch.setattr("stores.jobs.worker.STUCK_S", 0)  # too long ago, whenever it was
            assert worker.is_alive()  # it works
            engine.release()
            await engine.settled("m1")
            await until(lambda: not worker.is_alive())

    async def until(happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not happened():
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
