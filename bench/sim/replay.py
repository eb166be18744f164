"""Every request of a trace through real caches: exact, and as slow as there are requests."""

from __future__ import annotations  # LruCache[...] exists for the type checker only

import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache

from bench.sim.parameters import Tier
from bench.sim.titles import Library
from bench.sim.trace import Request
from native.cache import LruCache

FETCH_S = 0.05  # from the next tier; who asks meanwhile waits for the same fetch

_LIFETIME = re.compile(r"(s-maxage|max-age)=(\d+)")


@dataclass(slots=True)
class Traffic:
    """Of all caches of a tier together."""

    requests: float = 0
    hits: float = 0  # with those that waited for another's fetch
    collapsed: float = 0  # those
    bytes: float = 0
    hit_bytes: float = 0

    @property
    def hit_ratio(self) -> float:
        return self.hits / self.requests if self.requests else 0.0

    @property
    def byte_hit_ratio(self) -> float:
        return self.hit_bytes / self.bytes if self.bytes else 0.0

    def per_second(self, duration_s: float) -> Traffic:
        return Traffic(*(value / duration_s for value in astuple(self)))

    @property
    def misses(self) -> float:
        return self.requests - self.hits


@lru_cache
def shared_lifetime_s(cache_control: str) -> float:
    """RFC 9111 section 4.2.1: for a shared cache s-maxage goes before max-age."""
    lifetimes = dict(_LIFETIME.findall(cache_control))
    return float(lifetimes.get("s-maxage") or lifetimes.get("max-age") or 0)


@dataclass(slots=True)
class Copy:
    ready_s: float  # when its fetch is done
    expires_s: float
    used_s: float


class Network:
    def __init__(self, library: Library, tiers: Sequence[Tier]) -> None:
        self._library = library
        self._tiers = tiers
        self._caches = [_caches(tier) for tier in tiers]
        self.count_anew()

    def count_anew(self) -> None:
        self.traffic = [Traffic() for _ in self._tiers]

    def empty_edges(self) -> None:
        """As if there had been other points of presence until now."""
        self._caches[0] = _caches(self._tiers[0])
        self.count_anew()

    def ask(self, request: Request) -> bool:
        """Whether any tier has it; if none, the origin is asked."""
        stored = self._library.stored(request.key)
        missing: list[LruCache[Copy]] = []
        expires_s = request.time_s + shared_lifetime_s(stored.cache_control)
        for tier, caches, traffic in zip(self._tiers, self._caches, self.traffic, strict=True):
            cache = caches[request.edge * tier.caches // self._tiers[0].caches]
            copy = _lookup(cache, request, tier)
            traffic.requests += 1
            traffic.bytes += stored.bytes
            if copy is not None:
                traffic.hits += 1
                traffic.hit_bytes += stored.bytes
                traffic.collapsed += request.time_s < copy.ready_s
                expires_s = copy.expires_s  # what Age tells the caches in front
                break
            missing.append(cache)
        for hops, cache in enumerate(reversed(missing), 1):
            copy = Copy(request.time_s + hops * FETCH_S, expires_s, request.time_s)
            cache.put(request.key, copy, stored.bytes, expires_s)
        return len(missing) < len(self._tiers)


def _caches(tier: Tier) -> list[LruCache[Copy]]:
    return [LruCache(tier.bytes, tier.bytes) for _ in range(tier.caches)]


def _lookup(asked: LruCache[Copy], request: Request, tier: Tier) -> Copy | None:
    copy = asked.get(request.key, request.time_s)
    if copy is None or request.time_s - copy.used_s > tier.idle_s:
        return None
    copy.used_s = request.time_s
    return copy


def replay(
    trace: Iterable[Request], library: Library, tiers: Sequence[Tier], warm_up_s: float = 0
) -> list[Traffic]:
    """Traffic of each tier after the warm-up. What the last one misses is what the origin sees."""
    network = Network(library, tiers)
    warm = False
    for request in trace:
        if not warm and request.time_s >= warm_up_s:
            warm = True
            network.count_anew()
        network.ask(request)
    return network.traffic
