from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from server.api.viewers import IDLE_S, MAX_TITLES, OTHER, Viewers
from server.cmcd import Report

STARTUP = "headrace_viewer_startup_seconds"
PLAYED = "headrace_viewer_played_seconds_total"
A_MINUTE = Report(startup_ms=None, rebufferings_ms=(), played_ms=60_000, bit_rate=0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def registry(viewers: Viewers) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(viewers)
    return registry


def value(viewers: Viewers, name: str, **labels: str) -> float | None:
    return registry(viewers).get_sample_value(name, labels)


def labels(viewers: Viewers) -> set[str]:
    families: Sequence[Metric] = list(viewers.collect())
    return {sample.labels["media"] for family in families for sample in family.samples}


def total(viewers: Viewers) -> float:
    return sum(
        sample.value
        for family in viewers.collect()
        for sample in family.samples
        if sample.name == PLAYED
    )


def test_reports_become_figures_of_their_title() -> None:
    viewers = Viewers()
    viewers.add(
        "a",
        [
            Report(startup_ms=400, rebufferings_ms=(), played_ms=0, bit_rate=0),
            Report(startup_ms=None, rebufferings_ms=(), played_ms=10_000, bit_rate=5_000_000),
            Report(
                startup_ms=None, rebufferings_ms=(1500, 500), played_ms=20_000, bit_rate=800_000
            ),
        ],
    )
    viewers.add("b", [Report(startup_ms=60_000, rebufferings_ms=(), played_ms=0, bit_rate=0)])
    assert value(viewers, PLAYED, media="a") == 30
    assert value(viewers, "headrace_viewer_played_bits_total", media="a") == 66_000_000
    assert value(viewers, "headrace_viewer_rebufferings_total", media="a") == 2
    assert value(viewers, "headrace_viewer_rebuffering_seconds_total", media="a") == 2
    assert value(viewers, PLAYED, media="b") == 0


def test_startup_times_are_a_histogram() -> None:
    viewers = Viewers()
    for startup_ms in (0, 250, 251, 16_000, 16_001):
        report = Report(startup_ms=startup_ms, rebufferings_ms=(), played_ms=0, bit_rate=0)
        viewers.add("a", [report])
    counts = [
        value(viewers, f"{STARTUP}_bucket", media="a", le=bound)
        for bound in ("0.25", "0.5", "1.0", "8.0", "16.0", "+Inf")
    ]
    assert counts == [2, 3, 3, 3, 4, 5]
    assert value(viewers, f"{STARTUP}_count", media="a") == 5
    assert value(viewers, f"{STARTUP}_sum", media="a") == 32.502


def test_titles_beyond_the_bound_are_told_together() -> None:
    viewers = Viewers(Clock())
    for number in range(MAX_TITLES + 20):
        viewers.add(str(number), [A_MINUTE])
    assert labels(viewers) == {*map(str, range(MAX_TITLES)), OTHER}
    assert value(viewers, PLAYED, media=OTHER) == 20 * 60


def test_label_goes_from_the_title_that_is_idle_longest_and_no_figure_is_lost() -> None:
    clock = Clock()
    viewers = Viewers(clock)
    for number in range(MAX_TITLES):
        clock.now_s = number
        viewers.add(str(number), [A_MINUTE])
    clock.now_s = IDLE_S - 1
    viewers.add("0", [A_MINUTE])
    viewers.add("new", [A_MINUTE])
    assert "new" not in labels(viewers)
    clock.now_s = IDLE_S + 1
    viewers.add("new", [A_MINUTE])
    assert labels(viewers) == {*map(str, range(MAX_TITLES)), "new", OTHER} - {"1"}
    assert value(viewers, PLAYED, media=OTHER) == 2 * 60  # its own, and that of title 1
    assert total(viewers) == (MAX_TITLES + 3) * 60


def test_series_are_few_however_many_titles_there_are() -> None:
    clock = Clock()
    viewers = Viewers(clock)
    seen: set[str] = set()
    for number in range(10_000):
        clock.now_s = number / 10  # a new title every tenth of a second, for 1000 s
        viewers.add(str(number), [A_MINUTE])
        if number % 100 == 0:
            seen |= labels(viewers)
    assert len(seen) <= 2 * MAX_TITLES + 1
    assert total(viewers) == 10_000 * 60
