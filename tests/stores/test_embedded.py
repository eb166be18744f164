import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stores.errors import Unavailable
from stores.jobs.embedded import EmbeddedRedis
from tests.stores.engine import REPOSITORY, until

KEEPER = """
import asyncio, sys
from pathlib import Path
from stores.jobs.embedded import EmbeddedRedis

async def main():
    async with EmbeddedRedis(Path(sys.argv[1])):
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Shorter than tmp_path, so that the socket fits into it."""
    with tempfile.TemporaryDirectory(prefix="headrace-test-") as path:
        yield Path(path) / "run"


@contextlib.asynccontextmanager
async def keeper_process(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEEPER, str(directory)),
        stdin=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def client(redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with redis.address.connect(0) as connected:
        assert isinstance(connected, Redis)
        yield connected


def servers(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.name().startswith("redis-server") and process.cwd() == str(directory):
                found.append(process)
    return found


async def ended(process: psutil.Process) -> None:
    def is_gone() -> bool:  # an orphan may stay a zombie until init looks
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await until(is_gone, f"the end of {process}")


async def answer(redis: EmbeddedRedis) -> None:
    async with asyncio.timeout(120), client(redis) as connected:
        while True:
            with contextlib.suppress(RedisError):
                await connected.ping()
                return
            await asyncio.sleep(0.02)


def test_a_server_starts_serves_and_leaves_nothing_behind(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            assert directory.stat().st_mode & 0o777 == 0o700
            assert str(redis.address) == f"unix://{directory}/redis.sock"
            settings = await connected.config_get("*")
            assert settings["maxmemory-policy"] == "noeviction"
            assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")
            assert (settings["port"], settings["save"]) == ("0", "")
            assert len(servers(directory)) == 1
        assert servers(directory) == []
        assert sorted(path.name for path in directory.iterdir()) == ["appendonlydir", "redis.log"]

    asyncio.run(scenario())


def test_what_was_written_is_there_after_a_restart(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            await connected.set("title", "queued")
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            assert await connected.get("title") == "queued"

    asyncio.run(scenario())


def test_a_half_written_last_command_is_forgotten(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            await connected.set("first", "1")
            await connected.set("last", "2")
        (log,) = directory.glob("appendonlydir/*.incr.aof")
        log.write_bytes(log.read_bytes()[:-3])
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            assert await connected.mget("first", "last") == ["1", None]

    asyncio.run(scenario())


def test_damaged_files_are_reported_with_the_end_of_the_log(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis, client(redis) as connected:
            await connected.set("first", "1")
        (log,) = directory.glob("appendonlydir/*.incr.aof")
        log.write_bytes(b"nonsense" + log.read_bytes())
        with pytest.raises(Unavailable, match=r"(?s)move them away.*Bad file format"):
            async with EmbeddedRedis(directory):
                pass
        assert servers(directory) == []

    asyncio.run(scenario())


def test_a_killed_server_is_started_again(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis:
            async with client(redis) as connected:
                await connected.set("title", "queued")
            for _ in range(3):
                (server,) = servers(directory)
                server.kill()
                await ended(server)
                await answer(redis)
            async with client(redis) as connected:
                assert await connected.get("title") == "queued"

    asyncio.run(scenario())


def test_a_server_that_cannot_be_started_again_is_tried_until_it_can(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as redis:
            (server,) = servers(directory)
            log = directory / "redis.log"
            log.unlink()
            log.mkdir()
            server.kill()
            await until(lambda: caplog.text.count("Is a directory") > 1, "the second try")
            assert "no redis-server, trying again" in caplog.text
            log.rmdir()
            await answer(redis)

    asyncio.run(scenario())


def test_a_first_server_that_cannot_be_started_is_reported(directory: Path) -> None:
    async def scenario() -> None:
        (directory / "redis.log").mkdir(parents=True)
        with pytest.raises(Unavailable, match=r"cannot be run in .* Is a directory"):
            async with EmbeddedRedis(directory):
                pass

    asyncio.run(scenario())


def test_two_keepers_share_one_server(directory: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedRedis(directory) as second, keeper_process(directory):
            async with EmbeddedRedis(directory), client(second) as connected:
                await connected.set("title", "queued")
                assert len(servers(directory)) == 1
            assert len(servers(directory)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["kill", "close"])
def test_another_keeper_takes_over(directory: Path, end: str) -> None:
    async def scenario() -> None:
        async with keeper_process(directory) as first:
            await until(lambda: len(servers(directory)) == 1, "the first server")
            async with EmbeddedRedis(directory) as second:
                (before,) = servers(directory)
                async with client(second) as connected:
                    await connected.set("title", "queued")
                if end == "kill":
                    first.kill()
                else:
                    assert first.stdin is not None
                    first.stdin.close()
                await first.wait()
                await ended(before)
                await answer(second)
                async with client(second) as connected:
                    assert await connected.get("title") == "queued"
                (after,) = servers(directory)
                assert after.pid != before.pid
        assert servers(directory) == []

    asyncio.run(scenario())


def test_a_server_dies_with_its_keeper(directory: Path) -> None:
    async def scenario() -> None:
        async with keeper_process(directory) as keeper:
            await until(lambda: len(servers(directory)) == 1, "the server")
            keeper.kill()
            await until(lambda: servers(directory) == [], "its end")

    asyncio.run(scenario())


def test_a_directory_too_deep_for_a_socket_gets_a_short_one(directory: Path) -> None:
    async def scenario() -> None:
        deep = directory / ("d" * 60) / ("e" * 60)
        async with EmbeddedRedis(deep) as redis, client(redis) as connected:
            await connected.ping()
            socket = Path(redis.address.socket or "")
            assert len(str(socket)) < 60
            assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert not socket.parent.exists()

    asyncio.run(scenario())


def test_a_short_directory_of_another_kind_is_refused(directory: Path) -> None:
    async def scenario() -> None:
        deep = directory / ("d" * 60) / ("e" * 60)
        short = Path(EmbeddedRedis(deep).address.socket or "").parent
        (directory / "elsewhere").mkdir(parents=True)
        short.symlink_to(directory / "elsewhere")
        try:
            with pytest.raises(Unavailable, match="must be a directory that belongs to user"):
                async with EmbeddedRedis(deep):
                    pass
        finally:
            short.unlink()

    asyncio.run(scenario())


def test_a_missing_server_says_what_to_install(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with pytest.raises(Unavailable, match="apt install redis-server"):
            async with EmbeddedRedis(directory):
                pass

    monkeypatch.setenv("PATH", str(directory))
    assert shutil.which("redis-server") is None
    asyncio.run(scenario())
