"""An installation of the service in parts, with a proxy that can hurt in front of each store."""

import asyncio
import base64
import itertools
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import httpx
import orjson
import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stores.wiring import Stores
from tests.chaos.machines import Machine
from tests.chaos.proxy import Proxy

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 40
POLL_S = 0.05

PROFILES = [
    {"name": "90p", "width": 160, "height": 90, "videobitrate": "300k", "audiobitrate": "64k"},
    {"name": "54p", "width": 96, "height": 54, "videobitrate": "150k", "audiobitrate": "64k"},
]
SIGNING_SECRET = bytes(range(32))
SETTINGS = {
    "STREAM_FFMPEG_PRESET": "ultrafast",
    "STREAM_FFMPEG_SEGMENTDURATION": "2s",
    "STREAM_FFMPEG_PROFILES": orjson.dumps(PROFILES).decode(),
    "STREAM_WORKER_CONCURRENCY": "2",
    "STREAM_SIGNING_KEYS": orjson.dumps(
        {"chaos": base64.urlsafe_b64encode(SIGNING_SECRET).decode()}
    ).decode(),
}
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class Clock:
    """Of a machine, wrong by some seconds; clocks that only measure are right."""

    def __init__(self, file: Path, skew_s: int) -> None:
        assert FAKETIME is not None, "libfaketime is not installed: apt install faketime"
        self._file = file
        self.set(skew_s)

    def set(self, skew_s: int) -> None:
        """Within a second, for the processes that run, too."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{skew_s:+d}s\n")
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@dataclass(frozen=True, slots=True)
class Shape:
    workers: int = 2
    skews_s: tuple[int, ...] = ()  # of the workers' clocks, in turn; none: all are right
    is_on_small_disk: bool = False

    def clocks(self, directory: Path) -> dict[str, Clock]:
        """Those that are wrong, by the worker's name."""
        if not self.skews_s:
            return {}
        return {
            name: Clock(directory / f"{name}.clock", skew_s)
            for name, skew_s in zip(self.worker_names, itertools.cycle(self.skews_s), strict=False)
        }

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{n}" for n in range(self.workers)]


class RedisControl:
    """How this estate's Redis is found, and brought back where no machine does so."""

    def __init__(self, directory: Path) -> None:
        self.lock = asyncio.Lock()
        self.directory = directory.resolve()

    def process(self) -> psutil.Process | None:
        raise NotImplementedError

    def forget(self) -> None:
        """Remove what it has kept."""
        for folder in self.directory.glob("appendonly*"):
            rmtree(folder)

    def start(self) -> None:
        raise NotImplementedError

    def client(self) -> Redis:
        raise NotImplementedError

    async def limit(self, maxmemory: str) -> None:
        """As soon as it answers."""
        while True:
            try:
                async with self.client() as client:
                    await client.config_set("maxmemory", maxmemory)
                return
            except RedisError:
                await asyncio.sleep(POLL_S)

    def send(self, number: signal.Signals) -> psutil.Process | None:
        process = self.process()
        if process is not None:
            process.send_signal(number)
        return process


@dataclass
class Estate:
    """`stores` go past the proxies: they see what is, not what is told."""

    name: str
    door: Proxy  # in front of the API: what clients connect to
    origin_url: str
    machines: list[Machine]
    stores: Stores
    redis: RedisControl
    proxies: dict[str, Proxy] = field(default_factory=dict)  # `s3`, `dynamodb`, `redis-<machine>`
    clocks: dict[str, Clock] = field(default_factory=dict)  # those that are wrong, by machine
    small_disk: Path | None = None  # a folder on a disk that can be filled

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.port}"

    @property
    def workers(self) -> list[Machine]:
        return self.named("worker")

    def named(self, role: str) -> list[Machine]:
        return [machine for machine in self.machines if machine.role == role]

    def injected(self) -> dict[str, int]:
        """What the proxies did, by where and what."""
        return {
            f"{name}: {kind}": count
            for name, proxy in {"door": self.door, **self.proxies}.items()
            for kind, count in sorted(proxy.injected.items())
        }

    def heal(self) -> None:
        for proxy in (self.door, *self.proxies.values()):
            proxy.heal()


def machine_environment(data: Path, variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {**kept, **SETTINGS, "STREAM_DATA_DIR": str(data), **variables}


def signing_keys() -> dict[str, bytes]:
    return {"chaos": SIGNING_SECRET}


@asynccontextmanager
async def started(machines: Sequence[Machine], api_url: str) -> AsyncIterator[None]:
    """All of them; asserts that they end well when told to."""
    try:
        for machine in machines:
            machine.start()
        await _until_ready(machines, api_url)
        yield
        complaints = await asyncio.gather(*(machine.drain(STOP_TIMEOUT_S) for machine in machines))
        assert not any(complaints), "\n".join(filter(None, complaints))
    finally:
        for machine in machines:
            machine.kill()


async def _until_ready(machines: Sequence[Machine], api_url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    async with httpx.AsyncClient(base_url=api_url, timeout=5) as client:
        while True:
            for machine in machines:
                assert machine.is_running, machine.why_it_ended()
            try:
                if (await client.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"the API is not ready:\n{machines[0].log_tail()}"
            await asyncio.sleep(POLL_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
