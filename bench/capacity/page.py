"""From results of measurements to the page of `make capacity`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.capacity.stores import Asked
from bench.sim.needs import (
    TARGET_LOAD,
    Demand,
    Need,
    OriginCosts,
    cost_per_hour,
    first_audience,
    needs,
)
from bench.sim.parameters import PRICES_READ, Prices

UPLOADED_HOURS = (10, 100, 1000, 10_000)  # a day
DAY_S = 86_400
HOUR_S = 3600
PEAK = 3  # times the mean of a day: uploads come in the evening
ENCODERS_BUSY = 0.7  # of a core; the rest is for the peaks within an hour

AUDIENCE_HEADINGS = (
    *("viewers", "requests/s", "Gb/s", "origin processes", "S3 GET/s"),
    *("distributions by egress", "by requests", "USD/h"),
)
UPLOAD_HEADINGS = (
    *("hours a day", "worker cores", "S3 writes/s", "S3 reads/s", "DynamoDB requests/s"),
    *("Redis commands/s", "Redis MiB", "stored GB a day", "USD a day of cores"),
)
S3_READS = frozenset({"GET", "HEAD"})
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    simulated_on: str
    costs: OriginCosts
    demands: Sequence[Demand]  # by audience, smallest first
    asked: Asked


def page(measured: Measured) -> str:
    asked, costs = measured.asked, measured.costs
    per_hour = HOUR_S / asked.seconds
    lines = [
        "# Capacity",
        "",
        f"Written by `make capacity` from the simulation of {measured.simulated_on} (`make sim`, "
        f"after `make bench-origin`) and from one title uploaded on {asked.date} "
        "(`make bench-stores`). Every figure follows from those runs, on the machine that they "
        "ran on, or is a quota or a list price; to change one, run them again.",
        "",
        "## For so many concurrent viewers",
        "",
        *_table(AUDIENCE_HEADINGS, map(_audience_row, _each(measured))),
        "",
        f"An origin process has one core, loaded by {100 * TARGET_LOAD:.0f} %; of two at least, on "
        f"two machines. It answers {costs.answers_per_cpu_s:,.0f} requests or sends "
        f"{costs.bytes_per_cpu_s / 1e9:.2g} GB per CPU second from memory, and reads "
        f"{costs.reads_per_cpu_s:,.0f} objects of 1 MiB from S3. Origins ask S3 alone: viewers put "
        "no load on DynamoDB or Redis. A distribution carries 150 Gb/s and 250,000 requests/s by "
        "default; ask Amazon for more before you need it. Money is CloudFront's nearly all, at "
        f"list prices as read in {PRICES_READ}.",
        "",
        "One of each carries, by itself:",
        "",
        *_limits(measured),
        "",
        "## For so many uploaded hours of 1080p a day",
        "",
        *_table(UPLOAD_HEADINGS, (_upload_row(asked, hours) for hours in UPLOADED_HOURS)),
        "",
        f"At the busiest hour, taken as {PEAK} times the mean, with cores "
        f"{100 * ENCODERS_BUSY:.0f} % busy. An hour takes "
        f"{asked.worker_cpu_s * per_hour / HOUR_S:.2g} core hours for all four rungs, and asks for "
        f"{_sum(asked.s3) * per_hour:,.0f} requests to S3 ({_listed(asked.s3, per_hour)}), "
        f"{_sum(asked.dynamodb) * per_hour:,.0f} to DynamoDB ({_listed(asked.dynamodb, per_hour)}) "
        f"and {asked.redis_commands * per_hour:,.0f} commands of Redis. Redis' memory is for a "
        "busy hour's titles that all wait; S3 takes 3,500 writes and 5,500 "
        "reads a second per partition and splits by itself (`stores/objects/s3.py`).",
        "",
        "Local S3 and DynamoDB servers took part, so the requests are exact and their speed says "
        f"nothing. Titles of {asked.seconds} s were measured: longer ones ask for less an hour, as "
        "their first minute is published segment by segment. Uploads of other sizes differ in core "
        "hours as their pixels do.",
    ]
    return "\n".join(lines) + "\n"


def _each(measured: Measured) -> Iterator[tuple[Demand, OriginCosts]]:
    return ((demand, measured.costs) for demand in measured.demands)


def _audience_row(one: tuple[Demand, OriginCosts]) -> tuple[str, ...]:
    demand, costs = one
    need = {each.what: each for each in needs(demand, costs)}
    usd = sum(cost_per_hour(demand, costs, Prices()).values())
    return (
        f"{demand.viewers:,}",
        _figure(demand.requests),
        _figure(demand.bits / 1e9),
        _whole(need["origin processes, one core each"], at_least=2),
        _figure(demand.origin_requests),
        _whole(need["CloudFront distributions, by egress"]),
        _whole(need["CloudFront distributions, by requests"]),
        _figure(usd),
    )


def _upload_row(asked: Asked, hours: int) -> tuple[str, ...]:
    titles = hours * HOUR_S / asked.seconds  # of the measured length, a day
    busy = PEAK * titles / DAY_S  # a second
    reads = sum(count for method, count in asked.s3.items() if method in S3_READS)
    cores = max(1, -(-busy * asked.worker_cpu_s // ENCODERS_BUSY))
    return (
        f"{hours:,}",
        f"{cores:,.0f}",
        _figure(busy * (_sum(asked.s3) - reads)),
        _figure(busy * reads),
        _figure(busy * _sum(asked.dynamodb)),
        _figure(busy * asked.redis_commands),
        _figure(busy * HOUR_S * asked.redis_bytes / MIB),
        _figure(titles * asked.stored_bytes / 1e9),
        _figure(titles * asked.worker_cpu_s / HOUR_S / ENCODERS_BUSY * Prices().origin_core_hour),
    )


def _limits(measured: Measured) -> Iterator[str]:
    for index, need in enumerate(needs(measured.demands[-1], measured.costs)):
        viewers = first_audience(measured.demands, index, measured.costs)
        until = "all of these audiences" if viewers is None else f"{_figure(viewers)} viewers"
        yield f"- {need.what} ({need.limit}): {until}"


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _listed(counts: Mapping[str, int], times: float) -> str:
    largest = sorted(counts.items(), key=lambda one: -one[1])
    return ", ".join(f"{what} {_figure(count * times)}" for what, count in largest)


def _whole(need: Need, at_least: int = 1) -> str:
    return f"{max(at_least, -int(-need.units // 1)):,}"


def _figure(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{float(f'{value:.3g}'):,.0f}"


def _table(headings: Sequence[str], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (headings, ["---"] * len(headings), *body):
        yield f"| {' | '.join(row)} |"
