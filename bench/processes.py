"""CPU seconds and memory of a whole tree of processes."""

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

SAMPLE_S = 0.2


@dataclass(frozen=True)
class Usage:
    cpu_s: float  # user + system, of all processes of the tree, ended ones included
    peak_memory_bytes: int  # highest sampled sum of proportional set sizes


class TreeUsage:
    """Measures a running process and its descendants between enter and exit."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak = 0
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self.usage = Usage(0, 0)

    def __enter__(self) -> Self:
        self._cpu_before = self._cpu_s()
        self._sampler.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._sampler.join()
        self.usage = Usage(self._cpu_s() - self._cpu_before, self._peak)

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def _cpu_s(self) -> float:
        """A parent that waits for a child takes over its times, so none is lost."""
        total = 0.0
        for process in self._tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._peak = max(self._peak, sum(map(_pss, self._tree())))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
