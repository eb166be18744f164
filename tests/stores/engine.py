"""A job engine to try things on: scripted titles, workers in this process or in their own.

Run as a module, it is a worker process:
`python -m tests.stores.engine ADDRESS DIRECTORY SLOTS LOCK_MS RENEW_MS CHECK_MS`.
Whatever the workers do is a line in DIRECTORY/events: `run m1 video-00000`.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import orjson

from media.asset import Failure
from stores.errors import Unavailable
from stores.jobs.base import JobState, Task, TaskFailed, TitleHandler
from stores.jobs.bull import BullJobs
from stores.jobs.connection import RedisAddress
from stores.jobs.embedded import EmbeddedRedis
from stores.jobs.queue import ATTEMPTS
from stores.jobs.slot import Lease, Patience
from stores.jobs.worker import BullWorker

REPOSITORY = Path(__file__).parents[2]
QUICK_LEASE = Lease(lock_ms=2000, renew_ms=400, check_ms=200)  # while Redis stays up
OUTAGE_LEASE = Lease(lock_ms=6000, renew_ms=1000, check_ms=500)  # 5 s away; the client is within 1
PATIENCE = Patience(delay_ms=20, waits=2 * ATTEMPTS)
GRACE_S = 20.0

FATAL = Failure("unplayable", "the file is damaged", retryable=False)
TRANSIENT = Failure("busy", "try again", retryable=True)


@dataclass
class Script:
    """What a title does: for each step the acts of its first, second, ... run; the last act
    repeats. `ok`, `slow`, `hold` (until released), `hold fatal` (then), `busy`, `fatal`, `bug`,
    `away`."""

    tasks: dict[str, list[str]] = field(default_factory=lambda: {"audio": ["ok"]})
    plan: list[str] = field(default_factory=lambda: ["ok"])
    join: list[str] = field(default_factory=lambda: ["ok"])
    fail: list[str] = field(default_factory=lambda: ["ok"])


class ScriptedHandler(TitleHandler):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def plan(self, media_id: str) -> Sequence[Task]:
        await self._play("plan", media_id, self._script(media_id).plan)
        return [Task(name, n) for n, name in enumerate(self._script(media_id).tasks)]

    async def run(self, media_id: str, task: Task) -> None:
        await self._play("run", f"{media_id} {task.name}", self._script(media_id).tasks[task.name])

    async def join(self, media_id: str) -> None:
        await self._play("join", media_id, self._script(media_id).join)

    async def fail(self, media_id: str, failure: Failure) -> None:
        await self._play("fail", f"{media_id} {failure.code}", self._script(media_id).fail)

    def _script(self, media_id: str) -> Script:
        return Script(**orjson.loads((self._directory / f"{media_id}.json").read_bytes()))

    async def _play(self, step: str, what: str, acts: list[str]) -> None:
        run = events(self._directory).count(f"{step} {what}")
        self._record(f"{step} {what}")
        try:
            await self._act(acts[min(run, len(acts) - 1)])
        except asyncio.CancelledError:
            self._record(f"cancelled {step} {what}")
            raise
        self._record(f"did {step} {what}")

    async def _act(self, act: str) -> None:
        match act:
            case "hold":
                await self._held()
            case "hold fatal":
                await self._held()
                raise TaskFailed(FATAL)
            case "slow":
                await asyncio.sleep(0.1)
            case "busy":
                raise TaskFailed(TRANSIENT)
            case "fatal":
                raise TaskFailed(FATAL)
            case "away":
                raise Unavailable("the disk is full")
            case "bug":
                raise ZeroDivisionError
            case _:
                assert act == "ok"

    async def _held(self) -> None:
        while not (self._directory / "released").exists():
            await asyncio.sleep(0.01)

    def _record(self, event: str) -> None:
        with (self._directory / "events").open("ab") as file:
            file.write(f"{event}\n".encode())


def events(directory: Path) -> list[str]:
    try:
        return (directory / "events").read_text().splitlines()
    except FileNotFoundError:
        return []


@dataclass
class Engine:
    directory: Path
    address: RedisAddress
    jobs: BullJobs
    lease: Lease

    def script(self, media_id: str, script: Script | None = None) -> str:
        path = self.directory / f"{media_id}.json"
        path.write_bytes(orjson.dumps(script or Script()))
        return media_id

    def release(self) -> None:
        (self.directory / "released").touch()

    def events(self, *starts: str) -> list[str]:
        """In order; with arguments only those that start with one of them."""
        return [event for event in events(self.directory) if event.startswith(starts or "")]

    async def settled(self, media_id: str, timeout_s: float = 120) -> JobState:
        async with asyncio.timeout(timeout_s):
            while (state := await self.jobs.state(media_id)) is JobState.PENDING:
                await asyncio.sleep(0.01)
        return state

    async def until(self, *wanted: str) -> None:
        await until(lambda: all(event in self.events() for event in wanted), str(wanted))

    @contextlib.asynccontextmanager
    async def worker(self, slots: int = 1, timeout_s: float = 30) -> AsyncIterator[BullWorker]:
        handler = ScriptedHandler(self.directory)
        worker = BullWorker(
            self.address, handler, slots, timeout_s, lease=self.lease, patience=PATIENCE
        )
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            self.release()
            await worker.drain(GRACE_S)
            await running

    @contextlib.asynccontextmanager
    async def worker_process(
        self, slots: int = 1, environment: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", __name__, orjson.dumps(self.address), str(self.directory), str(slots)),
            *map(str, (self.lease.lock_ms, self.lease.renew_ms, self.lease.check_ms)),
            cwd=REPOSITORY,
            env={**os.environ, **environment},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def open_engine(
    directory: Path, lease: Lease = QUICK_LEASE, where: RedisAddress | None = None
) -> AsyncIterator[Engine]:
    """On a private Redis, unless it is told where another is."""
    async with contextlib.AsyncExitStack() as stack:
        if where is None:
            redis = await stack.enter_async_context(EmbeddedRedis(directory / "run"))
            where = redis.address
        jobs = BullJobs(where)
        stack.push_async_callback(jobs.close)
        yield Engine(directory, where, jobs, lease)


async def work(address: RedisAddress, directory: Path, slots: int, lease: Lease) -> None:
    worker = BullWorker(address, ScriptedHandler(directory), slots, 60, lease=lease)
    running = asyncio.create_task(worker.run())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await worker.drain(float(os.environ.get("GRACE_S", GRACE_S)))
    await running
    stopping.cancel()


if __name__ == "__main__":
    where, folder, *numbers = sys.argv[1:]
    address = RedisAddress(**orjson.loads(where))
    asyncio.run(work(address, Path(folder), int(numbers[0]), Lease(*map(int, numbers[1:]))))
