"""The counters of all processes of one origin, so that whichever is asked can tell of all."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from functools import partial
from multiprocessing import RawArray
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from server.origin.stats import SERVER_METRICS, ServerStats, add_build_info, families
from stores.disk import Disk

_ROW = 1 + len(SERVER_METRICS)  # a process id, and what that process counts


class Board:
    """Made before the processes, in memory that they inherit. Each writes a row of its own and
    nothing is locked: a number may be a moment older than the one beside it."""

    def __init__(self, rows: int) -> None:
        self._rows = range(rows)
        self._cells = RawArray("q", rows * _ROW)
        self._own = 0

    def join(self, row: int) -> None:
        """`row` belongs to no process that is alive."""
        self._own = row * _ROW
        self._cells[self._own : self._own + _ROW] = [os.getpid(), *[0] * (_ROW - 1)]

    def write(self, stats: ServerStats) -> None:
        self._cells[self._own + 1 : self._own + _ROW] = list(astuple(stats))

    def render(self, version: str, disk: Path | None) -> bytes:
        registry = CollectorRegistry()
        add_build_info(registry, version, "origin")
        registry.register(_Told(self._told()))
        if disk is not None:
            registry.register(Disk(disk))
        return generate_latest(registry)

    def _told(self) -> dict[int, ServerStats]:
        """By process."""
        rows = [list(self._cells[row * _ROW : (row + 1) * _ROW]) for row in self._rows]
        return {row[0]: ServerStats(*row[1:]) for row in rows if _is_alive(row[0])}


class _Told(Collector):
    def __init__(self, told: dict[int, ServerStats]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        told = {str(pid): stats for pid, stats in self._told.items()}
        yield from families(SERVER_METRICS, told)
        yield from _processes(self._told)


def _processes(pids: Iterable[int]) -> Iterable[Metric]:
    """What Prometheus's own client tells of a process, told of several."""
    families: dict[str, Metric] = {}
    for pid in pids:
        for found in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            empty = Metric(found.name, found.documentation, found.type)
            family = families.setdefault(found.name, empty)
            for sample in found.samples:
                family.add_sample(sample.name, {"process": str(pid)}, sample.value)
    return families.values()


def _is_alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
