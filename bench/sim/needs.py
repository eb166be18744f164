"""From traffic to what carries it: distributions, origins, partitions of S3, money."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.sim.parameters import MONTH_S, Prices
from bench.sim.replay import Traffic

# Default quotas of CloudFront, per distribution, and what Amazon S3 promises per partitioned prefix
DISTRIBUTION_REQUESTS = 250_000  # per second
DISTRIBUTION_BITS = 150e9  # per second
S3_PARTITION_READS = 5500  # per second
CDN_BITS = 300e12  # per second; "hundreds of terabits of deployed capacity", all customers together

SHIELD_TIER = 2
TARGET_LOAD = 0.5  # of a core of an origin: the rest is for failures and peaks


class NotMeasured(Exception):
    """There is no result of a measurement that this builds on; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class OriginCosts:
    """Of one core, measured."""

    answers_per_cpu_s: float  # session mix, from memory
    bytes_per_cpu_s: float  # of the largest objects
    reads_per_cpu_s: float  # of a megabyte from S3


@dataclass(frozen=True, slots=True)
class Demand:
    """Per second."""

    viewers: int
    tiers: Sequence[Traffic]  # from the viewers to the origin

    @property
    def requests(self) -> float:
        return self.tiers[0].requests

    @property
    def bits(self) -> float:
        return 8 * self.tiers[0].bytes

    @property
    def shield_requests(self) -> float:
        return self.tiers[SHIELD_TIER].requests if len(self.tiers) > SHIELD_TIER else 0

    @property
    def origin_requests(self) -> float:
        return self.tiers[-1].misses

    @property
    def origin_bytes(self) -> float:
        return self.tiers[-1].bytes - self.tiers[-1].hit_bytes


@dataclass(frozen=True, slots=True)
class Need:
    what: str
    limit: str  # of one
    units: float


def measured_answering(results: Path) -> tuple[float, float]:
    """Requests of the session mix, and bytes of the largest objects, per CPU second."""
    path = results / "origin.json"
    if not path.exists():
        raise NotMeasured(f"{path} does not exist: run `make bench-origin` first")
    ours = {name: peers["headrace"] for name, peers in json.loads(path.read_text()).items()}
    return (
        median(run["requests"] / run["cpu_s"] for run in ours["session mix"]),
        median(run["bytes"] / run["cpu_s"] for run in ours["2 MB"]),
    )


def origin_cores(demand: Demand, costs: OriginCosts) -> float:
    """Behind a shield nothing is asked for twice soon: every request is a read, too."""
    answering = max(
        demand.origin_requests / costs.answers_per_cpu_s,
        demand.origin_bytes / costs.bytes_per_cpu_s,
    )
    return (answering + demand.origin_requests / costs.reads_per_cpu_s) / TARGET_LOAD


def needs(demand: Demand, costs: OriginCosts) -> list[Need]:
    return [
        Need("CloudFront distributions, by egress", "150 Gb/s", demand.bits / DISTRIBUTION_BITS),
        Need(
            "CloudFront distributions, by requests",
            "250 000/s",
            demand.requests / DISTRIBUTION_REQUESTS,
        ),
        Need(
            "origin processes, one core each",
            f"half of a core: {costs.reads_per_cpu_s:.0f} reads per CPU second",
            origin_cores(demand, costs),
        ),
        Need("partitions of S3", "5500 GET/s", demand.origin_requests / S3_PARTITION_READS),
        Need("all of CloudFront, by egress", "some 300 Tb/s", demand.bits / CDN_BITS),
    ]


def cost_per_hour(demand: Demand, costs: OriginCosts, prices: Prices) -> dict[str, float]:
    """USD, of a month at this load divided by its hours."""
    egress = _stepped(demand.tiers[0].bytes * MONTH_S / 1e9, prices) / (MONTH_S / 3600)
    return {
        "egress": egress,
        "requests": demand.requests * 3600 * prices.request,
        "viewer-request function": demand.requests * 3600 * prices.function_call,
        "shield": demand.shield_requests * 3600 * prices.shield_request,
        "S3 reads": demand.origin_requests * 3600 * prices.s3_get,
        "origins": origin_cores(demand, costs) * prices.origin_core_hour,
    }


def _stepped(volume_gb: float, prices: Prices) -> float:
    total = below = 0.0
    for upper, price in prices.egress_steps:
        total += max(0.0, min(volume_gb, upper) - below) * price
        below = upper
    return total


def first_audience(demands: Sequence[Demand], index: int, costs: OriginCosts) -> float | None:
    """From how many viewers on one unit of a need does not do; between the audiences that were
    simulated it grows as a power. None when it does with all."""
    points = [(demand.viewers, needs(demand, costs)[index].units) for demand in demands]
    if points[0][1] >= 1:
        return points[0][0] / points[0][1]
    for (fewer, less), (more, enough) in itertools.pairwise(points):
        if enough >= 1:
            share = -math.log(less) / (math.log(enough) - math.log(less))
            return float(fewer * (more / fewer) ** share)
    return None
