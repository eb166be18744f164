"""The short form: a few titles in a mixed storm over each installation; `make chaos` is the long
one."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos import acts
from tests.chaos.campaigns import run_storm
from tests.chaos.estate import Shape
from tests.chaos.storm import Storm

SEED = 20
DEATHS = ((acts.kill_worker, 3), (acts.freeze_worker, 2), (acts.kill_redis, 6))
LINES = (
    (acts.part_worker_from_redis, 4),
    (acts.s3_errors, 2),
    (acts.dynamodb_throttled, 4),
    (acts.dynamodb_loses_answers, 4),
)


@pytest.mark.parametrize(
    ("estate", "harm"), [("embedded", DEATHS), ("aws", (*DEATHS, *LINES))], ids=["embedded", "aws"]
)
def test_every_title_ends_well_in_a_storm(
    estate: str, harm: tuple[tuple[acts.Act, float], ...], tmp_path: Path
) -> None:
    storm = Storm(5, (*harm, (acts.clients_fail, 3)), arrival_s=0.4, longest_s=4)
    running = run_storm(storm, Shape(workers=3), estate, tmp_path, SEED, lambda _: None)
    report = asyncio.run(running)
    assert report.violations == []
    assert report.outcomes["ready"] >= 2, report.outcomes
    assert report.acts["SIGSTOP of worker"] >= 1, report.acts
