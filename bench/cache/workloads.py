"""What a cache is asked for: independent requests by Zipf, with scans, and viewing sessions as they
arrive without a CDN, behind its edges, and behind edges and a shield."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from bench.sim.parameters import Tier
from bench.sim.replay import Network
from bench.sim.titles import Library, model_library
from bench.sim.trace import Audience, Request, requests
from server.origin.fill import (
    FINAL,
    FINAL_LIFE,
    GROWING,
    GROWING_LIFE,
    IMMUTABLE,
    IMMUTABLE_LIFE,
    Life,
)

OBJECTS = 50_000
REQUESTS = 600_000
SIZES = (150_000, 150_000, 600_000, 1_050_000, 2_100_000, 3_750_000)  # sound and the default ladder
SCAN_SHARE = 0.3  # of the requests, in runs
SCAN_LENGTH = 2000
SEED = 2026

LENGTHS_S = {180: 0.5, 600: 0.35, 1500: 0.15}
TITLES = 1500
VIEWERS = 600
DURATION_S = 3600
EDGES = 6
EDGE_BYTES = 8 * 10**9
SHIELD_BYTES = 60 * 10**9
NEVER_IDLE_S = 1e9

LIVES = {FINAL: FINAL_LIFE, GROWING: GROWING_LIFE, IMMUTABLE: IMMUTABLE_LIFE}
FOR_EVER = Life(math.inf, 0)


@dataclass(frozen=True, slots=True)
class Access:
    time_s: float
    key: str
    bytes: int
    life: Life


def zipf(exponent: float, count: int = REQUESTS) -> Iterator[Access]:
    choice = random.Random(SEED)
    cumulated = list(accumulate(rank**-exponent for rank in range(1, OBJECTS + 1)))
    ranks = choice.choices(range(OBJECTS), cum_weights=cumulated, k=count)
    for time_s, rank in enumerate(ranks):
        yield _independent(time_s, f"v/{rank:024x}/0/00000.m4s", rank)


def scan(exponent: float, count: int = REQUESTS) -> Iterator[Access]:
    """Now and then somebody walks through objects that nobody asks for again."""
    choice, scanned = random.Random(SEED), 0
    for access in zipf(exponent, int(count * (1 - SCAN_SHARE))):
        yield access
        if choice.random() < SCAN_SHARE / (1 - SCAN_SHARE) / SCAN_LENGTH:
            for _ in range(SCAN_LENGTH):
                yield _independent(access.time_s, f"v/scan/{scanned}/00000.m4s", scanned)
                scanned += 1


def _independent(time_s: float, key: str, number: int) -> Access:
    """Kept for ever: this is about the policy alone."""
    return Access(time_s, key, SIZES[number % len(SIZES)], FOR_EVER)


def sessions(behind: int) -> Iterator[Access]:
    """What reaches the origin behind so many tiers of caches: none, edges, edges and a shield."""
    library = model_library(LENGTHS_S, TITLES, growing_share=0.01, seed=SEED)
    trace = requests(library, Audience(VIEWERS, EDGES, SEED), DURATION_S)
    tiers = [
        Tier("edges", EDGES, EDGE_BYTES, NEVER_IDLE_S),
        Tier("shield", 1, SHIELD_BYTES, NEVER_IDLE_S),
    ]
    network = Network(library, tiers[:behind])
    for request in trace:
        if not network.ask(request):
            yield _access(library, request)


def _access(library: Library, request: Request) -> Access:
    stored = library.stored(request.key)
    return Access(request.time_s, request.key, stored.bytes, LIVES[stored.cache_control])


WORKLOADS: dict[str, Callable[[], Iterator[Access]]] = {
    "Zipf 0.8": lambda: zipf(0.8),
    "Zipf 1.0": lambda: zipf(1.0),
    "Zipf 1.0 and scans": lambda: scan(1.0),
    "sessions": lambda: sessions(behind=0),
    "sessions behind edges": lambda: sessions(behind=1),
    "sessions behind edges and shield": lambda: sessions(behind=2),
}
