import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

import bench.cache
from bench.cache import report
from bench.cache.replay import Keeper, SecondHit, nanoseconds, replay
from bench.cache.sieve import Sieve
from bench.cache.workloads import WORKLOADS, Access
from native.cache import LruCache, S3FifoCache

RESULTS = Path(__file__).parents[1] / "results"  # raw figures and the plot, not committed
REPORT = Path(__file__).parents[1] / "cache.md"
BUDGETS = [share * report.GIB // 4 for share in (1, 4, 16, 64)]
LARGEST_SHARE = 8  # as in the origin
REMEMBERED = 20_000  # keys, by second-hit admission
TIMED = "Zipf 1.0"
ROUNDS = 5

POLICIES: dict[str, Callable[[int, int], Keeper]] = {
    "LRU": LruCache,
    "SIEVE": Sieve,
    "S3-FIFO": S3FifoCache,
}
NATIVE = ("LRU", "S3-FIFO")


def measure(workload: str, accesses: list[Access], budget: int) -> report.Row:
    ratios = {}
    for name, policy in POLICIES.items():
        ratios[name] = replay(accesses, policy(budget, budget // LARGEST_SHARE))
    for name, policy in POLICIES.items():
        cache = policy(budget, budget // LARGEST_SHARE)
        ratios[name + report.ADMITTED] = replay(accesses, cache, SecondHit(REMEMBERED))
    return report.Row(workload, budget, ratios)


def speed(accesses: list[Access]) -> dict[str, float]:
    """The best of a few rounds: other work only ever adds."""
    return {
        name: min(
            nanoseconds(accesses, POLICIES[name](BUDGETS[1], BUDGETS[1] // LARGEST_SHARE))
            for _ in range(ROUNDS)
        )
        for name in NATIVE
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=bench.cache.__doc__)
    parser.parse_args()
    console = Console()
    rows, footprints, spent = [], {}, {}
    for name, make in track(WORKLOADS.items(), "workloads", console=console):
        accesses = list(make())
        footprints[name] = sum({access.key: access.bytes for access in accesses}.values())
        rows += [measure(name, accesses, budget) for budget in BUDGETS]
        if name == TIMED:
            spent = speed(accesses)
    findings = report.Findings(rows, footprints, spent)
    table = Table(*report.headings(findings))
    for row in report.rows(findings):
        table.add_row(*(cell.replace("**", "") for cell in row))
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    report.plot(findings, RESULTS / "cache.png")
    (RESULTS / "cache.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))
    REPORT.write_text(report.page(findings))


if __name__ == "__main__":
    main()
