from dataclasses import replace
from pathlib import Path

from bench.sim import report
from bench.sim.measured import Compared
from bench.sim.needs import Demand, OriginCosts
from bench.sim.parameters import Parameters
from bench.sim.replay import Traffic

COSTS = OriginCosts(answers_per_cpu_s=10_000, bytes_per_cpu_s=2e9, reads_per_cpu_s=400)


def demand(viewers: int) -> Demand:
    edge = Traffic(viewers / 3, viewers / 4, 1, viewers * 4e5, viewers * 3e5)
    middle = Traffic(viewers / 12, viewers / 24, 0, viewers * 1e5, viewers * 5e4)
    return Demand(viewers, [edge, middle, replace(middle, requests=viewers / 24, hits=0)])


def findings() -> report.Findings:
    demands = [demand(10**n) for n in (4, 5, 6)]
    without_shield = Demand(10**6, demands[-1].tiers[:2])
    tiers = demands[0].tiers
    return report.Findings(
        Parameters(viewers=10**6),
        COSTS,
        demands,
        {"no shield": without_shield},
        report.Check(10_000, tiers, [tiers, tiers]),
        [Compared("edges, pass 1", 1000, 1001.0, 0.9, 0.91)],
    )


def test_needs_stand_in_the_order_in_which_they_break() -> None:
    rows = [row[0] for row in report.need_rows(findings())]
    assert rows[0] == "origin processes, one core each"
    assert rows.index("CloudFront distributions, by egress") < rows.index("partitions of S3")
    assert rows[-1] == "all of CloudFront, by egress"


def test_the_page_has_a_full_row_for_everything_found() -> None:
    page = report.page(findings())
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert len(tables) == 2 * 5 + 5 + 3 + 1 + 3 + 1
    assert "| no shield | 75.0 | 50.0 | none |" in page
    assert "| edges, pass 1 | 1000 | 1001 | 90.00 | 91.00 |" in page
    assert page.startswith("# What 1 000 000 concurrent streams need")
    heads = {line.count("|") for line in tables if line.startswith("| viewers")}
    assert heads == {line.count("|") for line in tables if line.startswith("| 100 000 ")}


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    report.plot(findings(), tmp_path / "sim.png")
    assert (tmp_path / "sim.png").read_bytes().startswith(b"\x89PNG")
