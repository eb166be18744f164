"""What viewers see of each title, from their players' reports, as metrics.

A label per title would be as many labels as there are titles. So the titles that are watched have
one each, as far as there is room; everything else is told together as `other`. A label is taken
over only from a title that nobody has watched for a while, whose figures then go to `other`:
sums over all labels stay right, and a catalog of any size makes few new series.
"""

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.cmcd import Report

MAX_TITLES = 50
IDLE_S = 600.0
OTHER = "other"
STARTUP_BUCKETS_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

_LABELS = ("media",)


class Figures:
    """Of one title, since the start of this process."""

    __slots__ = (
        "last_report_s",
        "played_bits",
        "played_ms",
        "rebuffering_ms",
        "rebufferings",
        "startup_ms",
        "startups",
    )

    def __init__(self) -> None:
        self.startups = [0] * (len(STARTUP_BUCKETS_S) + 1)  # by bucket, not cumulative
        self.startup_ms = 0
        self.rebufferings = 0
        self.rebuffering_ms = 0
        self.played_ms = 0
        self.played_bits = 0
        self.last_report_s = 0.0

    def add_report(self, report: Report) -> None:
        if report.startup_ms is not None:
            self.startups[bisect_left(STARTUP_BUCKETS_S, report.startup_ms / 1000)] += 1
            self.startup_ms += report.startup_ms
        self.rebufferings += len(report.rebufferings_ms)
        self.rebuffering_ms += sum(report.rebufferings_ms)
        self.played_ms += report.played_ms
        self.played_bits += report.played_ms * report.bit_rate // 1000

    def add(self, other: "Figures") -> None:
        self.startups = [sum(pair) for pair in zip(self.startups, other.startups, strict=True)]
        self.startup_ms += other.startup_ms
        self.rebufferings += other.rebufferings
        self.rebuffering_ms += other.rebuffering_ms
        self.played_ms += other.played_ms
        self.played_bits += other.played_bits


class Viewers(Collector):
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._titles: OrderedDict[str, Figures] = OrderedDict()  # the last reported last
        self._other = Figures()

    def add(self, media_id: str, reports: Sequence[Report]) -> None:
        figures = self._figures(media_id)
        for report in reports:
            figures.add_report(report)

    def _figures(self, media_id: str) -> Figures:
        now_s = self._clock()
        figures = self._titles.get(media_id)
        if figures is None:
            if not self._has_room(now_s):
                return self._other
            figures = self._titles[media_id] = Figures()
        figures.last_report_s = now_s
        self._titles.move_to_end(media_id)
        return figures

    def _has_room(self, now_s: float) -> bool:
        if len(self._titles) < MAX_TITLES:
            return True
        media_id, oldest = next(iter(self._titles.items()))
        if now_s - oldest.last_report_s < IDLE_S:
            return False
        self._other.add(self._titles.pop(media_id))
        return True

    def collect(self) -> Iterator[Metric]:
        told = [*self._titles.items(), (OTHER, self._other)]
        startup = HistogramMetricFamily(
            "headrace_viewer_startup_seconds",
            "From being told to play until it played",
            labels=_LABELS,
        )
        for media_id, figures in told:
            startup.add_metric([media_id], _cumulative(figures.startups), figures.startup_ms / 1000)
        yield startup
        for name, help_text, value in _COUNTERS:
            family = CounterMetricFamily(f"headrace_viewer_{name}", help_text, labels=_LABELS)
            for media_id, figures in told:
                family.add_metric([media_id], value(figures))
            yield family


_COUNTERS: Sequence[tuple[str, str, Callable[[Figures], float]]] = (
    ("rebufferings", "Interruptions of play, but for seeks", lambda f: f.rebufferings),
    ("rebuffering_seconds", "How long they took", lambda f: f.rebuffering_ms / 1000),
    ("played_seconds", "How long was played", lambda f: f.played_ms / 1000),
    ("played_bits", "Encoded bits of what was played", lambda f: f.played_bits),
)


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in STARTUP_BUCKETS_S), "+Inf"]
    return [(bound, sum(counts[: index + 1])) for index, bound in enumerate(bounds)]
