"""What runs on the private Redis runs on every other kind of it."""

import asyncio
from pathlib import Path

import pytest
from redis import Redis

from deployments.aws_local import servers
from media.asset import Priority
from stores.jobs.base import JobState
from stores.jobs.connection import RedisAddress
from tests.stores.engine import Engine, Script, open_engine
from tests.stores.redises import address_of, cluster, tls, valkey_server


async def exercise(engine: Engine) -> None:
    """Fan-out and join, another priority, failure, cancellation, draining; a worker process too."""
    tasks = {f"video-{n:05d}": ["ok"] for n in range(40)}
    await engine.jobs.check()
    await engine.jobs.enqueue(engine.script("whole", Script(tasks)), Priority.LOW)
    await engine.jobs.set_priority("whole", Priority.HIGH)
    assert (await engine.jobs.counts())["waiting-high"] == 1
    async with engine.worker_process(slots=2), engine.worker(slots=2):
        async with asyncio.timeout(120):
            while sorted((await engine.jobs.workers()).values()) != [2, 2]:
                await asyncio.sleep(0.02)
        assert await engine.settled("whole") is JobState.COMPLETED
        assert sorted(engine.events("did run")) == [f"did run whole {name}" for name in tasks]
        assert engine.events("did")[-1] == "did join whole"

        await engine.jobs.enqueue(engine.script("bad", Script({"a": ["fatal"]})), Priority.LOW)
        assert await engine.settled("bad") is JobState.FAILED
        assert [failed.media_id for failed in await engine.jobs.failed(10)] == ["bad"]

        engine.script("held", Script({"a": ["hold"]}))
        await engine.jobs.enqueue("held", Priority.NORMAL)
        await engine.until("run held a")
        await engine.jobs.cancel("held")
        await engine.until("cancelled run held a")
        assert await engine.settled("held") is JobState.MISSING
    assert await engine.jobs.claim("sweep", 60)
    assert not await engine.jobs.claim("sweep", 60)


def test_shared_redis_with_a_password(tmp_path: Path, external: RedisAddress) -> None:
    async def scenario() -> None:
        async with open_engine(tmp_path, where=external) as engine:
            await exercise(engine)

    asyncio.run(scenario())


def test_redis_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(where: RedisAddress) -> None:
        async with open_engine(tmp_path, where=where) as engine:
            await exercise(engine)

    with tls(tmp_path) as (where, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        asyncio.run(scenario(where))


def test_valkey(tmp_path: Path) -> None:
    async def scenario(where: RedisAddress) -> None:
        async with open_engine(tmp_path, where=where) as engine:
            await exercise(engine)

    with servers.redis(tmp_path / "valkey", password="pw", program=valkey_server()) as server:
        asyncio.run(scenario(address_of(server)))


def test_cluster_of_three(tmp_path: Path) -> None:
    async def scenario(where: RedisAddress) -> None:
        async with open_engine(tmp_path, where=where) as engine:
            await exercise(engine)

    with cluster(tmp_path) as (where, nodes):
        asyncio.run(scenario(where))
        slots = set[int]()
        for node in nodes:
            with Redis(port=node.port, decode_responses=True) as client:
                slots |= {client.cluster("KEYSLOT", key) for key in client.keys("*")}
        assert len(slots) == 1
