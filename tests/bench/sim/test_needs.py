import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.sim.needs import (
    Demand,
    NotMeasured,
    OriginCosts,
    cost_per_hour,
    first_audience,
    measured_answering,
    needs,
)
from bench.sim.parameters import Prices
from bench.sim.replay import Traffic

COSTS = OriginCosts(answers_per_cpu_s=10_000, bytes_per_cpu_s=2e9, reads_per_cpu_s=400)


def demand(viewers: int) -> Demand:
    """3 Mb/s and a third of a request per viewer; of a hundred requests one reaches the origin."""
    edge = Traffic(viewers / 3, viewers / 3 * 0.9, 0, viewers * 3e6 / 8, viewers * 3e6 / 8 * 0.9)
    shield = Traffic(edge.misses, edge.misses * 0.9, 0, edge.bytes / 10, edge.bytes * 0.09)
    return Demand(viewers, [edge, replace(shield), shield])


def units(viewers: int) -> list[float]:
    return [need.units for need in needs(demand(viewers), COSTS)]


def test_needs_of_a_million_viewers() -> None:
    egress, requests, cores, partitions, cdn = units(1_000_000)
    assert egress == pytest.approx(3e12 / 150e9)
    assert requests == pytest.approx(1e6 / 3 / 250_000)
    assert cores == pytest.approx((max(3333 / 10_000, 3.75e9 / 2e9) + 3333 / 400) / 0.5, rel=0.01)
    assert partitions == pytest.approx(3333 / 5500, rel=0.01)
    assert cdn == pytest.approx(0.01)


def test_the_first_audience_that_one_unit_does_not_carry() -> None:
    demands = [demand(10**n) for n in (4, 5, 6)]
    assert first_audience(demands, 0, COSTS) == pytest.approx(50_000)
    assert first_audience(demands, 4, COSTS) is None
    assert first_audience(demands[1:], 0, COSTS) == pytest.approx(50_000)


def test_egress_is_paid_in_steps() -> None:
    month_gb = 12_000
    per_second = month_gb * 1e9 / (30 * 86400)
    spent = cost_per_hour(Demand(1, [Traffic(0, 0, 0, per_second)]), COSTS, Prices())
    assert spent["egress"] * 720 == pytest.approx(10_000 * 0.085 + 2000 * 0.080)
    assert spent["shield"] == 0


def test_requests_are_paid_by_the_piece() -> None:
    spent = cost_per_hour(demand(3_000_000), COSTS, Prices())
    assert spent["requests"] == pytest.approx(3600)
    assert spent["viewer-request function"] == pytest.approx(360)
    assert spent["shield"] == pytest.approx(0.0090 / 10_000 * 100_000 * 3600)


def test_answering_is_read_from_the_results_of_bench_origin(tmp_path: Path) -> None:
    run = {"requests": 1000, "cpu_s": 0.5, "bytes": 10**9}
    slow = {"requests": 1000, "cpu_s": 1.0, "bytes": 10**9}
    results = {name: {"headrace": [run, run, slow]} for name in ("session mix", "2 MB")}
    (tmp_path / "origin.json").write_text(json.dumps(results))
    assert measured_answering(tmp_path) == (2000, 2e9)


def test_answering_that_was_not_measured_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="run `make bench-origin` first"):
        measured_answering(tmp_path)
