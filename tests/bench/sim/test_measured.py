import json
from pathlib import Path

import pytest

from bench.sim.measured import compare
from bench.sim.needs import NotMeasured


def test_passes_share_the_shield_and_begin_with_empty_edges(tmp_path: Path) -> None:
    tier = {"caches": 1, "requests": 100, "hits": 40, "misses": 60}
    tiers = [tier | {"name": "edges"}, tier | {"name": "shield"}]
    trace = {"titles": 2, "lengths_s": {"60": 1.0}, "zipf_exponent": 1.0, "viewers": 20}
    measured = {
        "trace": trace | {"duration_s": 120, "edges": 2},
        "passes": [{"seed": seed, "tiers": tiers} for seed in (1, 2)],
    }
    (tmp_path / "cdn.json").write_text(json.dumps(measured))
    first, cold, second, warm = compare(tmp_path)
    assert [one.tier for one in (first, warm)] == ["edges, pass 1", "shield, pass 2"]
    assert first.hit_ratio == 0.4
    assert first.predicted_requests > 300
    assert first.predicted_requests * (1 - first.predicted_hit_ratio) == pytest.approx(
        cold.predicted_requests
    )
    assert second.predicted_requests * (1 - second.predicted_hit_ratio) == pytest.approx(
        warm.predicted_requests
    )
    assert warm.predicted_requests > 20
    assert cold.predicted_hit_ratio < 0.7 < warm.predicted_hit_ratio


def test_what_was_not_measured_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="run `make bench-cdn` first"):
        compare(tmp_path)
