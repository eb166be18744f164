import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.capacity.__main__ import read
from bench.capacity.page import UPLOADED_HOURS, Measured, page
from bench.capacity.stores import Asked
from bench.sim.needs import NotMeasured
from tests.bench.sim.test_needs import COSTS, demand

ASKED = Asked(
    date="2026-11-23",
    seconds=60,
    worker_cpu_s=75,
    stored_bytes=22_000_000,
    s3={"PUT": 100, "GET": 30},
    dynamodb={"TransactWriteItems": 40},
    redis_commands=6000,
    redis_bytes=1 << 20,
)
MEASURED = Measured("2026-11-23", COSTS, [demand(1500), demand(1_000_000)], ASKED)


def rows(text: str) -> dict[str, list[str]]:
    """By their first cell."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in cells}


def test_audience_needs_what_the_simulation_says() -> None:
    # 3 Mb/s each, 150 Gb/s and 250 000 requests/s a distribution
    requests, gigabits, origins, reads, by_egress, by_requests, _ = rows(page(MEASURED))[
        "1,000,000"
    ]
    assert (requests, gigabits) == ("333,000", "3,000")
    assert (by_egress, by_requests) == ("20", "2")
    assert (origins, reads) == ("21", "3,330")
    assert rows(page(MEASURED))["1,500"][2] == "2", "one process is none when it dies"


def test_uploaded_hours_need_what_one_title_asked_for() -> None:
    found = rows(page(MEASURED))
    cores, writes, s3_reads, dynamodb, redis, _, stored, _ = found["1,000"]
    # 60 000 titles of a minute a day: 2.083/s at the busiest hour
    assert cores == "224"  # 2.083 * 75 / 0.7
    assert (writes, s3_reads, dynamodb, redis) == ("208", "62", "83", "12,500")
    assert stored == "1,320"
    assert [f"{hours:,}" in found for hours in UPLOADED_HOURS] == [True] * len(UPLOADED_HOURS)


def test_page_is_read_from_results_alone(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"sim.json does not exist: run `make sim` first"):
        read(tmp_path)
    simulated = {
        "date": MEASURED.simulated_on,
        "costs": asdict(COSTS),
        "demands": [asdict(each) for each in MEASURED.demands],
        "variations": {},
    }
    (tmp_path / "sim.json").write_text(json.dumps(simulated))
    with pytest.raises(NotMeasured, match=r"run `make bench-stores` first"):
        read(tmp_path)
    (tmp_path / "stores.json").write_text(json.dumps(asdict(ASKED)))
    assert page(read(tmp_path)) == page(MEASURED)
    (tmp_path / "sim.json").write_text("[]")
    with pytest.raises(NotMeasured, match=r"of an older version: run `make sim` again"):
        read(tmp_path)
