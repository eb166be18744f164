"""The figures that targets are about, from what Locust has counted."""

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator

from locust.stats import RequestStats, StatsEntry

METRIC = re.compile(r"^headrace_origin_cache_(hits|misses)_total (\S+)$", re.MULTILINE)
TIMEOUT_S = 10.0
REQUESTS = frozenset({"GET", "POST", "PUT", "DELETE"})

Answers = Counter[str]  # hits and misses


def figures(stats: RequestStats, answers: Answers) -> dict[str, float | None]:
    def percentile(part: float, wanted: Callable[[StatsEntry], bool]) -> float | None:
        entry = _together(stats, wanted)
        return entry.get_response_time_percentile(part) if entry.num_requests else None

    played = stats.get("played", "viewer").total_response_time
    rebuffered = stats.get("rebuffering", "viewer").total_response_time
    asked = _together(stats, lambda entry: entry.method in REQUESTS)
    return {
        "api_p99_ms": percentile(0.99, _is_control),
        "upload_p99_ms_per_mb": percentile(0.99, lambda entry: entry.method == "upload"),
        "delete_p99_ms": percentile(0.99, lambda entry: entry.method == "DELETE"),
        "playlist_p99_ms": percentile(0.99, lambda entry: entry.name == "playlist"),
        "init_p99_ms": percentile(0.99, lambda entry: entry.name == "init"),
        "segment_p99_ms": percentile(0.99, lambda entry: entry.name.startswith("segment ")),
        "error_rate": _part(stats.total.num_failures, asked.num_requests),
        "startup_p95_ms": percentile(0.95, lambda entry: entry.name == "start-up"),
        "rebuffering_ratio": _part(rebuffered, played + rebuffered),
        "hit_ratio": _part(answers["hits"], answers["hits"] + answers["misses"]),
    }


def _is_control(entry: StatsEntry) -> bool:
    apart = entry.name == "/upload" or entry.method == "DELETE"
    return entry.name.startswith("/") and not apart


def _together(stats: RequestStats, wanted: Callable[[StatsEntry], bool]) -> StatsEntry:
    together = StatsEntry(stats, "", "")
    for entry in stats.entries.values():
        if wanted(entry):
            together.extend(entry)
    return together


def _part(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def rows(stats: RequestStats) -> Iterator[dict[str, str | int | float]]:
    """What was measured under each name, in ms."""
    for entry in sorted(stats.entries.values(), key=lambda entry: (entry.name, entry.method)):
        yield {
            "kind": entry.method,
            "name": entry.name,
            "count": entry.num_requests,
            "errors": entry.num_failures,
            "p50": entry.get_response_time_percentile(0.5),
            "p95": entry.get_response_time_percentile(0.95),
            "p99": entry.get_response_time_percentile(0.99),
        }


def origin_answers(host: str) -> Answers:
    """Since the start of the process that answers; empty where there is no origin in it."""
    try:
        with urllib.request.urlopen(f"{host}/metrics", timeout=TIMEOUT_S) as response:
            told = response.read().decode()
    except urllib.error.HTTPError:  # a CDN, say, that lets through what viewers need
        return Counter()
    return Counter({name: int(float(value)) for name, value in METRIC.findall(told)})
