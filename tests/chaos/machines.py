"""Processes of the service as machines: started, killed, frozen, drained."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import psutil

from stores.processes import die_with_parent

COMMAND = (sys.executable, "-P", "-m", "cli.main")
LOG_TAIL_BYTES = 3000
FORK_SERVER = "transcoder.forkserver"
POLL_S = 0.02


class Machine:
    """One process of the service, with whatever it starts; `lock` is held by who hurts it."""

    def __init__(
        self, name: str, command: str, environment: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.log = directory / f"{name}.log"
        self._command = command
        self._environment = environment
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_encoding(self) -> bool:
        return bool(self.encoders(with_server=False))

    def encoders(self, *, with_server: bool) -> list[psutil.Process]:
        """Its children that probe or encode, or the server that forks them."""
        try:
            servers = [child for child in self._family()[1:] if FORK_SERVER in child.cmdline()]
            return servers if with_server else [c for s in servers for c in s.children()]
        except psutil.NoSuchProcess:
            return []

    def start(self) -> None:
        assert not self.is_running
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*COMMAND, self._command],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self, *, with_children: bool) -> list[psutil.Process]:
        """As a paused virtual machine is; or the process alone, while its children go on."""
        frozen = self._family() if with_children else self._family()[:1]
        for process in frozen:
            _send(process, signal.SIGSTOP)
        return frozen

    def thaw(self, frozen: list[psutil.Process]) -> None:
        for process in reversed(frozen):
            _send(process, signal.SIGCONT)

    async def drain(self, within_s: float) -> str | None:
        """SIGTERM, and what is wrong with how it ended, if anything is. One that has not come up
        yet holds nothing and may end by the signal itself."""
        comes_up = not self._catches(signal.SIGTERM)
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + within_s
        while self.is_running:
            if time.monotonic() > deadline:
                return f"{self.name} did not end within {within_s:g} s:\n{self.log_tail()}"
            await asyncio.sleep(POLL_S)
        assert self._process is not None
        if self._process.returncode in ((0, -signal.SIGTERM) if comes_up else (0,)):
            return None
        return self.why_it_ended()

    def why_it_ended(self) -> str | None:
        """None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"{self.name} ended with status {self._process.returncode}: {self.log_tail()}"

    def log_tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def _catches(self, number: signal.Signals) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def _family(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # checks that the process id is still the same process
    except psutil.NoSuchProcess:
        return
