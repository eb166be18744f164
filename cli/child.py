"""One process of the service, kept alive until it is told to stop."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Sequence
from time import monotonic

import structlog

from cli.process import MISCONFIGURED

log = structlog.stdlib.get_logger(__name__)

QUICK_DEATH_S = 10.0  # a process that lives shorter than this did not really start
MAX_QUICK_DEATHS = 5
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 5.0
LAST_WORDS_S = 1.0  # to read what it wrote before it ended
READ_BYTES = 64 * 1024


class GaveUp(Exception):
    """A process keeps ending as soon as it is started."""


class Child:
    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._arguments = arguments
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start it, and again whenever it ends, until `stop`. Raises GaveUp."""
        quick_deaths = 0
        while not self._stopping.is_set():
            started_s = monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            if status == MISCONFIGURED:
                raise GaveUp(f"the {self.name} process cannot use its configuration, see above")
            quick_deaths = quick_deaths + 1 if monotonic() - started_s < QUICK_DEATH_S else 0
            if quick_deaths == MAX_QUICK_DEATHS:
                raise GaveUp(
                    f"the {self.name} process ended {quick_deaths} times right after its start "
                    f"({_cause(status)}); its last lines above say why"
                )
            delay_s = min(FIRST_DELAY_S * 2**quick_deaths, MAX_DELAY_S)
            log.error("process ended, starting it again", process=self.name, cause=_cause(status))
            await self._stopped_within(delay_s)

    def stop(self) -> None:
        """Ask it to finish; `run` returns when it has ended."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            _kill_group(self._process.pid)

    async def _run_once(self) -> int:
        # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then
        # stops everything in order.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cli.main", *self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        if self._stopping.is_set():
            self._process.terminate()
        assert self._process.stdout is not None
        relay = asyncio.ensure_future(_relay(self._process.stdout))
        status = await self._process.wait()
        _kill_group(self._process.pid)
        await asyncio.wait([relay], timeout=LAST_WORDS_S)
        relay.cancel()
        return status

    async def _stopped_within(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay_s)
        except TimeoutError:
            return


def _kill_group(pid: int) -> None:
    """The process and whatever it started that outlives it."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _cause(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"


async def _relay(stream: asyncio.StreamReader) -> None:
    """Whole lines at a time, so that they stand above a progress bar instead of inside it."""
    rest = b""
    while data := await stream.read(READ_BYTES):
        lines, newline, rest = (rest + data).rpartition(b"\n")
        if len(rest) > READ_BYTES:
            lines, newline, rest = lines + newline + rest, b"\n", b""
        if newline:
            sys.stderr.write((lines + newline).decode(errors="replace"))
    if rest:
        sys.stderr.write(rest.decode(errors="replace") + "\n")
