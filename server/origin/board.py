"""The counters of all processes of one origin, so that whichever is asked can tell of all."""

import os
from collections.abc import Iterator
from dataclasses import astuple
from multiprocessing import RawArray

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.origin.stats import METRICS, OriginStats

_ROW = 1 + len(METRICS)  # a process id, and what that process counts


class Board(Collector):
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

    def write(self, stats: OriginStats) -> None:
        self._cells[self._own + 1 : self._own + _ROW] = list(astuple(stats))

    def render(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        rows = [list(self._cells[row * _ROW : (row + 1) * _ROW]) for row in self._rows]
        rows = [row for row in rows if _is_alive(row[0])]
        for n, metric in enumerate(METRICS, start=1):
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            name = f"headrace_origin_cache_{metric.name}"
            family = kind(name, metric.meaning, labels=["process"])
            for row in rows:
                family.add_metric([str(row[0])], row[n])
            yield family


def _is_alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
