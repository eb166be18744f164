"""An external Redis that dies, moves, cuts connections or comes late, under worker processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.aws_local import servers
from media.asset import Priority
from stores.errors import Unavailable
from stores.jobs.base import JobState
from stores.jobs.connection import RedisAddress
from stores.jobs.worker import BullWorker
from tests.stores.engine import OUTAGE_LEASE, Engine, Script, ScriptedHandler, open_engine
from tests.stores.redises import address_of, cluster, wait_for_cluster


@asynccontextmanager
async def client(address: RedisAddress) -> AsyncIterator[Any]:
    async with address.connect(0) as redis:
        yield redis


def kill(server: servers.RedisServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)


async def connected_workers(engine: Engine, count: int) -> None:
    async with asyncio.timeout(120):
        while len(await engine.jobs.workers()) != count:
            await asyncio.sleep(0.02)


def test_a_killed_redis_comes_back_with_everything_that_was_queued(tmp_path: Path) -> None:
    async def scenario(server: servers.RedisServer, again: ExitStack) -> None:
        where = address_of(server)
        async with (
            open_engine(tmp_path, OUTAGE_LEASE, where) as engine,
            engine.worker_process(slots=1),
            engine.worker_process(slots=1),
        ):
            engine.script("m1", Script({"a": ["hold"], "b": ["hold"], "c": ["ok"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a", "run m1 b")
            await engine.jobs.enqueue(engine.script("m2"), Priority.LOW)
            await engine.jobs.set_priority("m2", Priority.HIGH)
            kill(server)
            again.enter_context(servers.redis(tmp_path / "redis", port=server.port))
            counts = await engine.jobs.counts()
            assert (counts["active"], counts["waiting-high"]) == (2, 1)
            engine.release()
            assert await engine.settled("m1") is JobState.COMPLETED
            assert await engine.settled("m2") is JobState.COMPLETED
            runs = engine.events("run", "join", "cancelled", "fail")
            assert sorted(runs) == [
                *("join m1", "join m2"),
                *("run m1 a", "run m1 b", "run m1 c", "run m2 audio"),
            ]

    with servers.redis(tmp_path / "redis") as server, ExitStack() as again:
        asyncio.run(scenario(server, again))


@pytest.mark.parametrize("cut", [False, True])
def test_a_cancellation_reaches_every_worker_process(
    tmp_path: Path, external: RedisAddress, cut: bool
) -> None:
    """Also those whose connection for stop orders was cut just before."""

    async def scenario() -> None:
        async with (
            open_engine(tmp_path, where=external) as engine,
            engine.worker_process(slots=2),
            engine.worker_process(slots=2),
        ):
            await connected_workers(engine, 2)
            names = ["a", "b", "c", "d"]
            engine.script("m1", Script({name: ["hold"] for name in names}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until(*(f"run m1 {name}" for name in names))
            if cut:
                async with client(external) as redis:
                    assert await redis.client_kill_filter(_type="pubsub") >= 2
            await engine.jobs.cancel("m1")
            await engine.until(*(f"cancelled run m1 {name}" for name in names))
            assert await engine.settled("m1") is JobState.MISSING

    asyncio.run(scenario())


def test_a_worker_waits_for_a_redis_that_comes_late(tmp_path: Path) -> None:
    async def scenario(late: ExitStack) -> None:
        port = servers.free_port()
        where = RedisAddress("{late}", host="127.0.0.1", port=port)
        async with open_engine(tmp_path, where=where) as engine, engine.worker_process():
            with pytest.raises(Unavailable):
                await engine.jobs.enqueue(engine.script("m1"), Priority.NORMAL)
            late.enter_context(servers.redis(tmp_path / "redis", port=port))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            assert await engine.settled("m1") is JobState.COMPLETED

    with ExitStack() as late:
        asyncio.run(scenario(late))


def test_a_worker_that_waits_for_redis_can_be_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        where = RedisAddress("{never}", host="127.0.0.1", port=servers.free_port())
        worker = BullWorker(where, ScriptedHandler(tmp_path), 2, 1)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0)
        async with asyncio.timeout(20):  # by itself it would wait for a minute
            await worker.drain(20)
            await running

    asyncio.run(scenario())


def test_what_is_handed_back_keeps_its_priority_and_attempts(
    tmp_path: Path, external: RedisAddress
) -> None:
    async def scenario() -> None:
        levels = {"low": Priority.LOW, "normal": Priority.NORMAL, "high": Priority.HIGH}
        async with open_engine(tmp_path, where=external) as engine:
            async with engine.worker(slots=3) as worker:
                for media_id, priority in levels.items():
                    # Three attempts go to `busy`: the fourth, the last, must still be there.
                    acts = ["hold", "busy", "busy", "busy", "ok"]
                    engine.script(media_id, Script({"a": acts}))
                    await engine.jobs.enqueue(media_id, priority)
                await engine.until(*(f"run {media_id} a" for media_id in levels))
                await worker.drain(0)
                assert len(engine.events("cancelled run")) == 3
            async with engine.worker(slots=1):
                for media_id in levels:
                    assert await engine.settled(media_id) is JobState.COMPLETED
            assert engine.events("run")[3:6] == ["run high a", "run normal a", "run low a"]
            assert engine.events("fail") == []

    asyncio.run(scenario())


def test_work_goes_on_after_a_primary_was_a_replica_for_a_while(tmp_path: Path) -> None:
    async def scenario(where: RedisAddress) -> None:
        async with (
            open_engine(tmp_path, OUTAGE_LEASE, where) as engine,
            engine.worker(slots=2),
            client(where) as redis,
        ):
            engine.script("m1", Script({"a": ["hold"], "b": ["ok"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a", "did run m1 b")
            await redis.replicaof("127.0.0.1", servers.free_port())
            enqueuing = asyncio.create_task(
                engine.jobs.enqueue(engine.script("m2"), Priority.NORMAL)
            )
            engine.release()
            await engine.until("did run m1 a")
            await redis.replicaof("NO", "ONE")
            await enqueuing
            assert await engine.settled("m1") is JobState.COMPLETED
            assert await engine.settled("m2") is JobState.COMPLETED
            assert engine.events("cancelled", "fail") == []

    with servers.redis(tmp_path / "redis") as server:
        asyncio.run(scenario(address_of(server)))


def test_a_node_of_a_cluster_is_killed_and_comes_back(tmp_path: Path) -> None:
    async def scenario(
        where: RedisAddress, nodes: list[servers.RedisServer], again: ExitStack
    ) -> None:
        async with (
            open_engine(tmp_path, OUTAGE_LEASE, where) as engine,
            engine.worker_process(slots=2),
        ):
            engine.script("m1", Script({"a": ["hold"], "b": ["hold"], "c": ["ok"]}))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            await engine.until("run m1 a", "run m1 b")
            async with client(where) as redis:
                node = redis.get_node_from_key(where.prefix)
            (number,) = (n for n, server in enumerate(nodes) if server.port == node.port)
            kill(nodes[number])
            again.enter_context(
                servers.redis(
                    tmp_path / str(number), "--cluster-enabled", "yes", port=nodes[number].port
                )
            )
            wait_for_cluster(nodes)  # two seconds: the reborn node does not trust itself before
            engine.release()
            assert await engine.settled("m1") is JobState.COMPLETED
            await engine.jobs.enqueue(engine.script("m2"), Priority.LOW)
            assert await engine.settled("m2") is JobState.COMPLETED
            assert engine.events("cancelled", "fail") == []

    with cluster(tmp_path) as (where, nodes), ExitStack() as again:
        asyncio.run(scenario(where, nodes, again))


@pytest.mark.parametrize("step", ["plan", "task", "join", "fail"])
def test_a_redis_without_memory_fails_no_title_and_loses_no_failure(
    tmp_path: Path, step: str
) -> None:
    script, begun = {
        "plan": (Script(plan=["hold"]), "plan m1"),
        "task": (Script({"audio": ["hold"]}), "run m1 audio"),
        "join": (Script(join=["hold"]), "join m1"),
        "fail": (Script({"audio": ["hold fatal"]}), "run m1 audio"),
    }[step]

    async def scenario(server: servers.RedisServer) -> None:
        where = address_of(server)
        async with (
            open_engine(tmp_path, OUTAGE_LEASE, where) as engine,
            engine.worker(),
            client(where) as redis,
        ):
            await engine.jobs.enqueue(engine.script("m1", script), Priority.NORMAL)
            await engine.until(begun)
            await redis.config_set("maxmemory", "1")
            engine.release()
            await asyncio.sleep(3)  # in which all attempts of a job would be used up
            await redis.config_set("maxmemory", "0")
            settled = await engine.settled("m1")
            assert settled is (JobState.FAILED if step == "fail" else JobState.COMPLETED)
            told = ["fail m1 unplayable"] if step == "fail" else []
            assert engine.events("fail") == told

    with servers.redis(tmp_path / "redis") as server:
        asyncio.run(scenario(server))


def test_a_title_whose_tasks_redis_has_forgotten_is_planned_again(tmp_path: Path) -> None:
    async def scenario(server: servers.RedisServer) -> None:
        where = address_of(server)
        async with open_engine(tmp_path, where=where) as engine, client(where) as redis:
            engine.script("m1", Script({"a": ["ok"], "b": ["ok"]}, join=["hold"]))
            await engine.jobs.enqueue("m1", Priority.NORMAL)
            async with engine.worker_process() as worker:
                await engine.until("join m1")
                worker.kill()
                await worker.wait()
            keys = [key async for key in redis.scan_iter(f"{where.prefix}:transcode:m1.*")]
            forgotten = [key for key in keys if key.endswith((".a", ".b", ":processed"))]
            assert len(forgotten) == 3
            await redis.delete(*forgotten, f"{where.prefix}:transcode:completed")
            engine.release()
            async with engine.worker():
                assert await engine.settled("m1") is JobState.COMPLETED
            assert engine.events("fail") == []
            assert engine.events().count("did run m1 a") == 2

    with servers.redis(tmp_path / "redis") as server:
        asyncio.run(scenario(server))
