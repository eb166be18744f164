"""From simulated traffic to tables, a page and plots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from matplotlib import pyplot

from bench.sim.measured import Compared
from bench.sim.needs import SHIELD_TIER, Demand, OriginCosts, cost_per_hour, first_audience, needs
from bench.sim.parameters import PRICES_READ, Parameters, Prices
from bench.sim.replay import Traffic

SCALE_HEADINGS = (
    "viewers",
    "requests/s",
    "Tb/s",
    "hit % points of presence",
    "regional",
    "shield",
    "waited for another's fetch %",
    "from the CDN %",
    "origin requests/s",
    "origin Gb/s",
    "USD/h",
)
NEED_HEADINGS = ("what", "one carries", "needed", "one does not do beyond")
VARIATION_HEADINGS = ("changed", *SCALE_HEADINGS[3:])
CHECK_HEADINGS = ("tier", "requests/s", "hit %", "bytes hit %", "sampled: hit %", "bytes hit %")


COMPARED_HEADINGS = ("tier", "requests", "predicted", "hit %", "predicted")


@dataclass(frozen=True, slots=True)
class Check:
    """The same audience replayed in full, and sampled with several seeds."""

    viewers: int
    full: Sequence[Traffic]
    sampled: Sequence[Sequence[Traffic]]


@dataclass(frozen=True, slots=True)
class Findings:
    parameters: Parameters
    costs: OriginCosts
    demands: Sequence[Demand]  # by audience, smallest first
    variations: Mapping[str, Demand]  # of the largest audience
    check: Check
    compared: Sequence[Compared]


def scale_rows(findings: Findings) -> Iterator[tuple[str, ...]]:
    for demand in findings.demands:
        head = (_count(demand.viewers), _count(demand.requests), f"{demand.bits / 1e12:.3g}")
        yield (*head, *_outcome(demand, findings.costs))


def variation_rows(findings: Findings) -> Iterator[tuple[str, ...]]:
    for name, demand in findings.variations.items():
        yield (name, *_outcome(demand, findings.costs))


def _outcome(demand: Demand, costs: OriginCosts) -> tuple[str, ...]:
    offload = 1 - demand.origin_requests / demand.requests
    usd = sum(cost_per_hour(demand, costs, Prices()).values())
    ratios = [f"{100 * tier.hit_ratio:.1f}" for tier in demand.tiers]
    ratios += ["none"] * (SHIELD_TIER + 1 - len(ratios))
    waited = sum(tier.collapsed for tier in demand.tiers) / demand.requests
    gigabits = 8 * demand.origin_bytes / 1e9
    return (
        *ratios,
        f"{100 * waited:.2f}",
        f"{100 * offload:.3f}",
        _count(demand.origin_requests),
        _count(gigabits),
        _count(usd),
    )


def need_rows(findings: Findings) -> Iterator[tuple[str, ...]]:
    """In the order in which they break."""
    largest = needs(findings.demands[-1], findings.costs)
    rows = []
    for index, need in enumerate(largest):
        viewers = first_audience(findings.demands, index, findings.costs)
        beyond = float("inf") if viewers is None else viewers
        rows.append((beyond, (need.what, need.limit, _count(need.units), _viewers(viewers))))
    return (row for _, row in sorted(rows))


def check_rows(check: Check, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for index, (name, full) in enumerate(zip(names, check.full, strict=True)):
        hits = [100 * tiers[index].hit_ratio for tiers in check.sampled]
        byte_hits = [100 * tiers[index].byte_hit_ratio for tiers in check.sampled]
        exact = (f"{100 * full.hit_ratio:.1f}", f"{100 * full.byte_hit_ratio:.1f}")
        yield (name, _count(full.requests), *exact, _range(hits), _range(byte_hits))


def compared_rows(compared: Sequence[Compared]) -> Iterator[tuple[str, ...]]:
    for one in compared:
        ratios = (f"{100 * one.hit_ratio:.2f}", f"{100 * one.predicted_hit_ratio:.2f}")
        yield (one.tier, f"{one.requests}", f"{one.predicted_requests:.0f}", *ratios)


def _range(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _count(value: float) -> str:
    if 0 < value < 10:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")


def _viewers(viewers: float | None) -> str:
    return "enough" if viewers is None else f"{_count(viewers)} viewers"


def page(findings: Findings) -> str:
    costs, largest = findings.costs, findings.demands[-1]
    names = [tier.name for tier in findings.parameters.tiers]
    spent = cost_per_hour(largest, costs, Prices())
    lines = [
        f"# What {_count(largest.viewers)} concurrent streams need",
        "",
        f"{date.today()}; simulated by `make sim` from these figures of this machine: an origin "
        f"answers {costs.answers_per_cpu_s:.0f} requests of the session mix or sends "
        f"{costs.bytes_per_cpu_s / 1e9:.2f} GB per CPU second from memory (`make bench-origin`), "
        f"and reads {costs.reads_per_cpu_s:.0f} objects of 1 MiB per CPU second from S3.",
        "",
        "## The answer, in the order in which it breaks",
        "",
        *_table(NEED_HEADINGS, need_rows(findings)),
        "",
        "USD per hour: "
        + ", ".join(f"{name} {_count(usd)}" for name, usd in spent.items())
        + f". List prices as read in {PRICES_READ}; at such volumes they are negotiated.",
        "",
        "## By audience",
        "",
        *_table(SCALE_HEADINGS, scale_rows(findings)),
        "",
        "## What the largest audience's traffic depends on",
        "",
        *_table(VARIATION_HEADINGS, variation_rows(findings)),
        "",
        "## Sampled against every request",
        "",
        f"{_count(findings.check.viewers)} viewers, small caches; full replay of the trace beside "
        f"{len(findings.check.sampled)} samples.",
        "",
        *_table(CHECK_HEADINGS, check_rows(findings.check, names)),
        "",
        "## Predicted against real caches",
        "",
        "The sessions of `make bench-cdn`, in nginx and in the simulation.",
        "",
        *_table(COMPARED_HEADINGS, compared_rows(findings.compared)),
        "",
        *_assumptions(findings.parameters),
    ]
    return "\n".join(lines) + "\n"


def _assumptions(parameters: Parameters) -> Iterator[str]:
    lengths = ", ".join(
        f"{100 * share:.0f} % of {length_s // 60} min"
        for length_s, share in parameters.lengths_s.items()
    )
    tiers = "; ".join(
        f"{tier.caches} {tier.name} of {tier.bytes / 1e12:.0f} TB, what is not asked for in "
        f"{tier.idle_s / 3600:.0f} h is gone"
        for tier in parameters.tiers
    )
    yield "## Assumptions"
    yield ""
    yield (
        f"{_count(parameters.titles)} titles ({lengths}) by Zipf {parameters.zipf_exponent:g}, "
        f"cut and named as Headrace does, {100 * parameters.growing_share:g} % of them watched "
        f"while they are encoded. {tiers[0].upper()}{tiers[1:]}: Amazon publishes neither. All "
        f"points of presence are alike; caches evict by LRU; lifetimes are those of the "
        f"Cache-Control that the origin sends. The load is steady: no flash crowd. Viewers, "
        f"sampling and their limits: `trace.py`, `sample.py` and `sampled.py` in `bench/sim/`."
    )


def _table(headings: Sequence[str], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (headings, ["---"] * len(headings), *body):
        yield f"| {' | '.join(row)} |"


def plot(findings: Findings, path: Path) -> None:
    figure, (ratios, needed) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    viewers = [demand.viewers for demand in findings.demands]
    for index, tier in enumerate(findings.parameters.tiers):
        hits = [100 * demand.tiers[index].hit_ratio for demand in findings.demands]
        ratios.semilogx(viewers, hits, marker="o", label=tier.name)
    ratios.set(xlabel="concurrent viewers", ylabel="hit ratio, %", ylim=(0, 101))
    of_each = [needs(demand, findings.costs) for demand in findings.demands]
    for index, need in enumerate(of_each[0]):
        units = [found[index].units for found in of_each]
        needed.loglog(viewers, units, marker="o", label=need.what)
    needed.axhline(1, color="black", linewidth=0.8)
    needed.set(xlabel="concurrent viewers", ylabel="units needed")
    for axes in (ratios, needed):
        axes.legend()
    figure.savefig(path)
    pyplot.close(figure)
