"""One workload through one cache, as the origin uses it: what is missing or not fresh is fetched
and put in."""

import time
from dataclasses import dataclass
from typing import Protocol

from bench.cache.workloads import Access

LARGE_BYTES = 256 * 1024


class Keeper(Protocol):
    """What of a cache is used here; the values say until when an object is fresh."""

    def get(self, key: str, now_s: float) -> float | None: ...

    def put(self, key: str, value: float, size: int, expires_at_s: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ratios:
    objects: float
    bytes: float


class SecondHit:
    """Admits a large object only when it was asked for before, not too many others ago."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._seen: dict[str, None] = {}

    def admits(self, access: Access) -> bool:
        if access.bytes <= LARGE_BYTES or access.key in self._seen:
            return True
        self._seen[access.key] = None
        if len(self._seen) > self._remembered:
            del self._seen[next(iter(self._seen))]
        return False


def replay(accesses: list[Access], cache: Keeper, admission: SecondHit | None = None) -> Ratios:
    hits = hit_bytes = total_bytes = 0
    for access in accesses:
        total_bytes += access.bytes
        fresh_until_s = cache.get(access.key, access.time_s)
        if fresh_until_s is not None and access.time_s < fresh_until_s:
            hits += 1
            hit_bytes += access.bytes
        elif fresh_until_s is not None or admission is None or admission.admits(access):
            fresh_until_s = access.time_s + access.life.fresh_s
            expires_at_s = fresh_until_s + access.life.stale_s
            cache.put(access.key, fresh_until_s, access.bytes, expires_at_s)
    return Ratios(hits / len(accesses), hit_bytes / total_bytes)


def nanoseconds(accesses: list[Access], cache: Keeper) -> float:
    """CPU time per request, a put on a miss included, less that of the loop."""
    keys = [(access.key, access.bytes) for access in accesses]
    started = time.process_time_ns()
    for _key, _size in keys:
        pass
    empty = time.process_time_ns() - started
    get, put = cache.get, cache.put
    started = time.process_time_ns()
    for key, size in keys:
        if get(key, 0.0) is None:
            put(key, 1.0, size, 1.0)
    return (time.process_time_ns() - started - empty) / len(keys)
