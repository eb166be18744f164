import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from deployments.aws_local.servers import RedisServer
from media.asset import Priority
from stores.jobs.connection import RedisAddress
from tests.service import ready, run
from tests.stores.engine import FATAL, Engine, Script, open_engine


def settings(redis: RedisServer, prefix: str) -> dict[str, str]:
    return {
        "STREAM_REDIS_HOST": redis.host,
        "STREAM_REDIS_PORT": str(redis.port),
        "STREAM_REDIS_PASSWORD": str(redis.password),
        "STREAM_REDIS_PREFIX": prefix,
    }


async def fill(engine: Engine) -> None:
    """A failed title, three that wait, and nobody at work."""
    async with engine.worker():
        await engine.jobs.enqueue(engine.script("bad", Script(plan=["fatal"])), Priority.NORMAL)
        await engine.settled("bad")
    for media_id, priority in [("a", Priority.HIGH), ("b", Priority.LOW), ("c", Priority.LOW)]:
        await engine.jobs.enqueue(media_id, priority)


def filled(directory: Path, redis: RedisServer, prefix: str) -> dict[str, str]:
    async def scenario() -> None:
        where = RedisAddress(
            f"{{{prefix}}}", host=redis.host, port=redis.port, password=redis.password
        )
        async with open_engine(directory, where=where) as engine:
            await fill(engine)

    asyncio.run(scenario())
    return settings(redis, prefix)


def test_queue_and_failed_titles_are_shown(tmp_path: Path, redis_server: RedisServer) -> None:
    answer = run(tmp_path, "jobs", **filled(tmp_path, redis_server, "shown"))
    assert answer.returncode == 0, answer.stderr
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines()]
    assert lines[0] == f"Redis at redis://127.0.0.1:{redis_server.port}/0"
    for line in (
        *("waiting, high priority 1", "waiting, normal priority 0", "waiting, low priority 2"),
        *("running 0", "failed titles and tasks that are remembered 1", "none"),
    ):
        assert line in lines
    (failed,) = (line for line in lines if line.startswith("bad "))
    assert failed.startswith(f"bad {FATAL.code} {FATAL.message} 20")


def test_queue_is_told_to_programs(tmp_path: Path, redis_server: RedisServer) -> None:
    answer = run(tmp_path, "jobs", "--json", **filled(tmp_path, redis_server, "told"))
    told = json.loads(answer.stdout)
    assert told["counts"]["waiting-high"] == 1
    assert told["workers"] == {}
    (failed,) = told["failed"]
    age = datetime.now(UTC) - datetime.fromisoformat(failed.pop("failed_at"))
    assert 0 <= age.total_seconds() < 60
    assert failed == {
        "media_id": "bad",
        "code": FATAL.code,
        "message": FATAL.message,
        "retryable": FATAL.retryable,
    }


def test_queue_of_a_running_service_is_shown(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        worker = service.child("worker")
        assert worker is not None
        told = json.loads(run(tmp_path, "jobs", "--json").stdout)
        assert told["engine"] == f"a private Redis in {tmp_path / 'data' / 'run'}"
        ((name, slots),) = told["workers"].items()
        assert name.endswith(f".{worker.pid}")
        assert slots >= 1


def test_no_redis_is_started_to_look_at_it(tmp_path: Path) -> None:
    answer = run(tmp_path, "jobs")
    assert answer.returncode == 1
    assert f"no service runs on {tmp_path / 'data'}" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_refused_password_is_said_and_not_shown(tmp_path: Path, redis_server: RedisServer) -> None:
    wrong = settings(redis_server, "a") | {"STREAM_REDIS_PASSWORD": "hunter2"}
    answer = run(tmp_path, "jobs", **wrong)
    assert answer.returncode == 1
    assert "refuses the user name and password it is given" in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout


def test_titles_that_may_look_like_markup_are_shown_as_they_are(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async def scenario() -> None:
        where = RedisAddress(
            "{markup}", host=redis_server.host, port=redis_server.port, password="test"
        )
        async with open_engine(tmp_path, where=where) as engine, engine.worker():
            script = engine.script("[red]x", Script(plan=["fatal"]))
            await engine.jobs.enqueue(script, Priority.NORMAL)
            await engine.settled("[red]x")

    asyncio.run(scenario())
    assert "[red]x" in run(tmp_path, "jobs", **settings(redis_server, "markup")).stdout
