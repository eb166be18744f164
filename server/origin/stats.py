"""What one origin process counts, and how it is told to Prometheus."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def _counter(meaning: str) -> Any:
    return field(metadata={"meaning": meaning, "counter": True})


def _level(meaning: str) -> Any:
    return field(metadata={"meaning": meaning, "counter": False})


@dataclass(frozen=True, slots=True)
class OriginStats:
    """Counters since the start of the process, and levels, which are now."""

    hits: int = _counter("Requests for objects that were answered from the cache")
    misses: int = _counter("Requests for objects that the cache did not hold, or not fresh")
    evictions: int = _counter("Objects dropped from the cache to make room for others")
    rejections: int = _counter("Objects too large to be kept in the cache")
    refusals: int = _counter("Requests without a token that gives access")
    not_found: int = _counter("Requests for objects that are not there")
    waits: int = _counter("Misses that waited for a read which another one had started")
    stale: int = _counter("Misses answered with an expired object while the store was away")
    busy: int = _counter("Misses answered 503 because too many were waiting")
    unavailable: int = _counter("Misses answered 503 because the store did not answer")
    prefetches: int = _counter("Segments read before anybody asked for them")
    prefetch_uses: int = _counter("Segments read in advance that were asked for")
    disk_hits: int = _counter("Reads answered from the disk cache")
    disk_writes: int = _counter("Objects written to the disk cache")
    disk_evictions: int = _counter("Objects dropped from the disk cache to make room for others")
    disk_damaged: int = _counter("Objects found damaged in the disk cache, and removed")
    disk_errors: int = _counter("Times that the disk cache could not be used")
    slow_readers: int = _counter("Connections cut because the client did not take its answer")
    fetches: int = _level("Reads from the store or the disk under way, or waiting for their turn")
    entries: int = _level("Objects in the cache now")
    bytes: int = _level("Memory that the objects in the cache take now, in bytes")


@dataclass(frozen=True, slots=True)
class ServerStats(OriginStats):
    """Of an origin that is an HTTP server of its own."""

    sent_bytes: int = _counter("Bytes of all answers, their heads included")
    connections: int = _level("Connections open to the origin now")


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    field: str
    meaning: str
    is_counter: bool


def _measures(stats: type[OriginStats], prefix: str) -> Iterator[Measure]:
    for each in fields(stats):
        meaning, is_counter = each.metadata["meaning"], each.metadata["counter"]
        yield Measure(f"{prefix}_{each.name}", each.name, meaning, is_counter)


METRICS = tuple(_measures(OriginStats, "headrace_origin_cache"))
SERVER_METRICS = (
    *METRICS,
    *tuple(_measures(ServerStats, "headrace_origin"))[len(METRICS) :],
)


def families(measures: Iterable[Measure], told: Mapping[str, OriginStats]) -> Iterator[Metric]:
    """Of one process, called "", or of several by their names."""
    labels = [] if told.keys() == {""} else ["process"]
    for measure in measures:
        kind = CounterMetricFamily if measure.is_counter else GaugeMetricFamily
        family = kind(measure.name, measure.meaning, labels=labels)
        for process, stats in told.items():
            family.add_metric([process] if labels else [], getattr(stats, measure.field))
        yield family
    answers = CounterMetricFamily(
        "headrace_origin_requests",
        "Requests for objects by their answer; 2xx also stands for 304 and 416",
        labels=[*labels, "status_class"],
    )
    for process, stats in told.items():
        for status_class, count in _answers(stats).items():
            answers.add_metric([*([process] if labels else []), status_class], count)
    yield answers


def add_build_info(registry: CollectorRegistry, version: str, component: str) -> None:
    build = Info("headrace_build", "What this process is", registry=registry)
    python = platform.python_version()
    build.info({"version": version, "component": component, "python": python})


def _answers(stats: OriginStats) -> dict[str, int]:
    """Derived, so that a hit costs no more than it did."""
    failures = stats.busy + stats.unavailable
    found = stats.hits + stats.misses - stats.not_found - failures
    return {"2xx": found, "4xx": stats.refusals + stats.not_found, "5xx": failures}
