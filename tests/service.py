"""`headrace up` as a real process on a free port, with data of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

COMMAND = (sys.executable, "-P", "-m", "cli.main")
DEADLINE_S = 60.0
KEPT = ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG")  # the last is of `make test-coverage`
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Service:
    process: subprocess.Popen[bytes]
    directory: Path
    log: Path
    url: str

    def output(self) -> str:
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process | None:
        """The direct child that runs this program or subcommand."""
        for child in psutil.Process(self.process.pid).children():
            try:
                words = " ".join(child.cmdline()).split()
            except psutil.NoSuchProcess:
                continue
            if word in (Path(name).name for name in words):
                return child
        return None

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            return httpx.get(f"{self.url}/ready").is_success
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


def environment(directory: Path, port: int, **variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = {"STREAM_SERVER_PORT": str(port), "STREAM_DATA_DIR": str(directory / "data")}
    return {**kept, **own, **variables}


@contextmanager
def started(
    directory: Path, *arguments: str, command: str = "up", **variables: str
) -> Iterator[Service]:
    port = free_port()
    log = directory / f"{command}.output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, command, *arguments],
            cwd=directory,
            env=environment(directory, port, **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    service = Service(process, directory, log, f"http://127.0.0.1:{port}")
    try:
        yield service
    finally:
        if process.poll() is None:
            children = service.children()
            process.kill()
            process.wait()
            until(lambda: living(children) == [])


@contextmanager
def ready(directory: Path, *arguments: str, **variables: str) -> Iterator[Service]:
    with started(directory, *arguments, **variables) as service:
        until(service.is_ready)
        yield service


def run(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=environment(directory, free_port(), **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(POLL_S)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those not ended; one that waits for somebody to collect its status has ended."""
    return [process for process in processes if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
