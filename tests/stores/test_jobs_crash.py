"""Death, of every kind: real worker processes and a real redis-server, killed."""

import asyncio
import os
import random
import signal
from pathlib import Path

import psutil
import pytest

from media.asset import Priority
from stores.jobs.base import JobState
from tests.stores.engine import OUTAGE_LEASE, Engine, Script, open_engine, until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


async def runs(engine: Engine, count: int) -> None:
    await until(lambda: len(engine.events("run")) == count, f"run {count}")


def redis_process(engine: Engine) -> psutil.Process:
    """The private one."""
    (server,) = (
        child
        for child in psutil.Process().children()
        if child.name().startswith("redis-server") and child.cwd() == str(engine.directory / "run")
    )
    return server


@pytest.mark.parametrize("step", ["plan", "task", "join"])
def test_what_a_killed_worker_held_is_done_by_another(tmp_path: Path, step: str) -> None:
    async def scenario() -> None:
        script, event = {
            "plan": (Script(plan=["hold"]), "plan m1"),
            "task": (Script({"audio": ["hold"]}), "run m1 audio"),
            "join": (Script(join=["hold"]), "join m1"),
        }[step]
        async with open_engine(tmp_path) as engine:
            await engine.jobs.enqueue(engine.script("m1", script), Priority.NORMAL)
            async with engine.worker_process() as first:
                await engine.until(event)
                first.kill()
                await first.wait()
            engine.release()
            async with engine.worker_process():
                assert await engine.settled("m1") is JobState.COMPLETED
            assert engine.events().count(event) == 2
            assert engine.events().count("did join m1") == 1

    asyncio.run(scenario())


def test_a_title_that_kills_its_workers_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine:
            engine.script("m1", Script({"audio": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            for deaths in range(1, 7):
                async with engine.worker_process() as worker:
                    await runs(engine, deaths)
                    worker.kill()
                    await worker.wait()
            async with engine.worker():
                assert await engine.settled("m1") is JobState.FAILED
            assert engine.events("fail", "did fail") == [
                "fail m1 internal",
                "did fail m1 internal",
            ]
            assert engine.events().count("run m1 audio") == 6

    asyncio.run(scenario())


def test_a_redis_that_dies_disturbs_no_task(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, OUTAGE_LEASE) as engine, engine.worker(slots=2):
            engine.script("m1", Script({"a": ["hold"], "b": ["hold"], "c": ["ok"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a", "run m1 b")
            killed = redis_process(engine)
            killed.kill()
            await until(lambda: not killed.is_running(), "the end of redis")
            await engine.jobs.check()  # the keeper has started another
            engine.release()
            assert await engine.settled("m1") is JobState.COMPLETED
            assert sorted(engine.events("run", "join", "cancelled")) == [
                "join m1",
                *("run m1 a", "run m1 b", "run m1 c"),
            ]

    asyncio.run(scenario())


def test_a_cancellation_is_heard_after_redis_died(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, OUTAGE_LEASE) as engine, engine.worker():
            engine.script("m1", Script({"a": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a")
            redis_process(engine).kill()
            await engine.jobs.cancel("m1")
            await engine.until("cancelled run m1 a")
            assert await engine.settled("m1") is JobState.MISSING

    asyncio.run(scenario())


def test_a_frozen_worker_gives_up_what_another_has_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine, engine.worker_process() as frozen:
            engine.script("m1", Script({"audio": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 audio")
            frozen.send_signal(signal.SIGSTOP)
            async with engine.worker_process():
                await runs(engine, 2)
                frozen.send_signal(signal.SIGCONT)
                await engine.until("cancelled run m1 audio")
                engine.release()
                assert await engine.settled("m1") is JobState.COMPLETED
            assert engine.events("did") == ["did plan m1", "did run m1 audio", "did join m1"]

    asyncio.run(scenario())


def test_a_terminated_worker_process_finishes_and_ends_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path) as engine, engine.worker_process(slots=2) as worker:
            engine.script("m1", Script({"a": ["hold"], "b": ["hold"], "c": ["ok"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a", "run m1 b")
            worker.terminate()
            engine.release()
            assert await worker.wait() == 0
            assert engine.events("cancelled", "run m1 c") == []
            async with engine.worker():
                assert await engine.settled("m1") is JobState.COMPLETED

    asyncio.run(scenario())


def test_a_task_is_handed_back_by_a_worker_whose_clock_is_ahead(tmp_path: Path) -> None:
    async def scenario() -> None:
        assert FAKETIME is not None, "libfaketime is not installed: apt install faketime"
        ahead = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+300s"}
        ahead |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "GRACE_S": "0"}
        async with (
            open_engine(tmp_path) as engine,
            engine.worker_process(environment=ahead) as worker,
        ):
            engine.script("m1", Script({"audio": ["hold"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 audio")
            worker.terminate()
            assert await worker.wait() == 0
            engine.release()
            async with engine.worker():
                assert await engine.settled("m1") is JobState.COMPLETED

    asyncio.run(scenario())


def test_every_title_completes_once_whoever_dies(tmp_path: Path) -> None:
    titles = [f"m{n}" for n in range(8)]
    tasks = [f"video-{n:05d}" for n in range(6)]
    dice = random.Random(7)

    async def reign(engine: Engine, over: asyncio.Event) -> None:
        while not over.is_set():
            async with engine.worker_process(slots=2) as worker:
                started = len(engine.events())
                done = started + dice.randrange(15, 45)
                while not over.is_set() and len(engine.events()) < done:
                    await asyncio.sleep(0.01)
                os.kill(worker.pid, signal.SIGKILL)
                await worker.wait()

    async def scenario() -> None:
        async with open_engine(tmp_path, OUTAGE_LEASE) as engine:
            engine.release()
            for media_id in titles:
                script = Script({name: ["slow"] for name in tasks})
                await engine.jobs.enqueue(engine.script(media_id, script), Priority.NORMAL)
            over = asyncio.Event()
            reigns = [asyncio.create_task(reign(engine, over)) for _ in range(2)]
            await until(lambda: len(engine.events("did join")) >= 3, "three titles")
            redis_process(engine).kill()
            states = [await engine.settled(media_id) for media_id in titles]
            over.set()
            await asyncio.gather(*reigns)
            assert states == [JobState.COMPLETED] * len(titles)
            for media_id in titles:
                before_join = engine.events()[: engine.events().index(f"join {media_id}")]
                done = {event for event in before_join if event.startswith(f"did run {media_id} ")}
                assert done == {f"did run {media_id} {name}" for name in tasks}
            assert engine.events("fail", "cancelled") == []

    asyncio.run(scenario())
