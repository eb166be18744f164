import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bench.sim
from bench.sim import report
from bench.sim.measured import compare
from bench.sim.needs import Demand, NotMeasured, OriginCosts, measured_answering
from bench.sim.parameters import EDGES, REGIONALS, SHIELD, Parameters, Tier
from bench.sim.reading import measure_reading
from bench.sim.replay import replay
from bench.sim.sample import draw, watch
from bench.sim.sampled import simulate
from bench.sim.titles import Library, model_library
from bench.sim.trace import Audience, requests

RESULTS = Path(__file__).parents[1] / "results"  # raw figures and the plot, not committed
REPORT = Path(__file__).parents[1] / "sim.md"
AUDIENCES = [10**exponent for exponent in (3, 4, 5, 6, 7, 8)]
SEED = 2026

CHECKED_VIEWERS, CHECKED_TITLES = 1200, 1200
CHECKED_LENGTHS_S = {180: 0.5, 600: 0.35, 1500: 0.15}
CHECKED_S, CHECKED_WARM_UP_S = 5400, 3600
CHECKED_SEEDS = 4


def variations(parameters: Parameters) -> Mapping[str, Parameters]:
    edges, regionals, shield = parameters.tiers

    def with_tiers(*tiers: Tier) -> Parameters:
        return replace(parameters, tiers=tiers)

    return {
        "a shield of half the size": with_tiers(
            edges, regionals, replace(shield, bytes=shield.bytes // 2)
        ),
        "all caches a quarter": with_tiers(
            *(replace(tier, bytes=tier.bytes // 4) for tier in parameters.tiers)
        ),
        "no shield": with_tiers(edges, regionals),
        "Zipf 0.8": replace(parameters, zipf_exponent=0.8),
        "five times the titles": replace(parameters, titles=5 * parameters.titles),
        "no growing titles": replace(parameters, growing_share=0.0),
    }


def library_of(parameters: Parameters) -> Library:
    return model_library(
        parameters.lengths_s,
        parameters.titles,
        zipf_exponent=parameters.zipf_exponent,
        growing_share=parameters.growing_share,
        seed=SEED,
    )


def sampled(parameters: Parameters, audiences: Sequence[int]) -> list[Demand]:
    library = library_of(parameters)
    watched = watch(library)
    demands = []
    for viewers in audiences:
        sample = draw(library, watched, viewers / parameters.tiers[0].caches)
        demands.append(Demand(viewers, simulate(parameters.tiers, sample, SEED)))
    return demands


def check() -> report.Check:
    """Caches that are full long before the warm-up ends, and too small for the titles."""
    never_s = 1e9
    tiers = (
        Tier(EDGES.name, 12, 8 * 10**9, never_s),
        Tier(REGIONALS.name, 3, 40 * 10**9, never_s),
        Tier(SHIELD.name, 1, 150 * 10**9, never_s),
    )
    library = model_library(CHECKED_LENGTHS_S, CHECKED_TITLES, growing_share=0.05, seed=SEED)
    audience = Audience(CHECKED_VIEWERS, tiers[0].caches, SEED)
    trace = requests(library, audience, CHECKED_S)
    full = [
        traffic.per_second(CHECKED_S - CHECKED_WARM_UP_S)
        for traffic in replay(trace, library, tiers, CHECKED_WARM_UP_S)
    ]
    sample = draw(library, watch(library), CHECKED_VIEWERS / tiers[0].caches)
    samples = [simulate(tiers, sample, seed) for seed in range(CHECKED_SEEDS)]
    return report.Check(CHECKED_VIEWERS, full, samples)


def show(console: Console, findings: report.Findings) -> None:
    for headings, rows in (
        (report.SCALE_HEADINGS, report.scale_rows(findings)),
        (report.NEED_HEADINGS, report.need_rows(findings)),
    ):
        table = Table(*headings)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="headrace-sim", description=bench.sim.__doc__)
    parser.add_argument(
        "--viewers", type=int, default=10**8, help="of the largest audience (100000000)"
    )
    options = parser.parse_args()
    console = Console()
    parameters = Parameters(viewers=options.viewers)
    audiences = [*(n for n in AUDIENCES if n < options.viewers), options.viewers]
    try:
        answering = measured_answering(RESULTS)
        compared = compare(RESULTS)
    except NotMeasured as error:
        sys.exit(str(error))
    with console.status("reading from S3"):
        costs = OriginCosts(*answering, measure_reading().reads_per_cpu_s)
    with console.status("simulating the audiences"):
        demands = sampled(parameters, audiences)
    changed = {}
    for name, variation in variations(parameters).items():
        with console.status(f"simulating: {name}"):
            changed[name] = sampled(variation, audiences[-1:])[0]
    with console.status("replaying every request of a small audience"):
        checked = check()
    findings = report.Findings(parameters, costs, demands, changed, checked, compared)
    show(console, findings)
    RESULTS.mkdir(exist_ok=True)
    report.plot(findings, RESULTS / "sim.png")
    raw = {
        "date": str(date.today()),
        "costs": asdict(costs),
        "demands": [asdict(demand) for demand in demands],
        "variations": {name: asdict(demand) for name, demand in changed.items()},
    }
    (RESULTS / "sim.json").write_text(json.dumps(raw, indent=1))
    REPORT.write_text(report.page(findings))


if __name__ == "__main__":
    main()
