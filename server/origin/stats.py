"""What one origin process counts, and how it is told to Prometheus."""

from dataclasses import dataclass, field, fields
from typing import Any


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
class Metric:
    name: str
    meaning: str
    is_counter: bool


METRICS = tuple(
    Metric(each.name, each.metadata["meaning"], each.metadata["counter"])
    for each in fields(OriginStats)
)
