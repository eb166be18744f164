"""What is tried, each against an installation of its own."""

import random
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from tests.chaos import acts
from tests.chaos.aws import aws_estate
from tests.chaos.clips import make_clips, make_damaged, make_heavy
from tests.chaos.embedded import embedded_estate
from tests.chaos.estate import Shape
from tests.chaos.report import Report, Show
from tests.chaos.storm import Run, Storm

TWO_WORKERS = Shape()


@dataclass(frozen=True, slots=True)
class Campaign:
    name: str
    estates: tuple[str, ...]
    acts: tuple[tuple[acts.Act, float], ...]  # and the mean seconds between two of them
    shape: Shape = TWO_WORKERS
    arrival_s: float = 1.0  # mean time between two uploads
    deleted_share: float = 0.1


ESTATES = {"embedded": embedded_estate, "aws": aws_estate}
BOTH = ("embedded", "aws")
CAMPAIGNS = (
    Campaign(
        "deaths",
        BOTH,
        (
            (acts.kill_worker, 5),
            (acts.kill_redis, 12),
            (acts.lose_redis, 30),
            (acts.kill_api, 15),
            (acts.kill_origin, 15),
        ),
    ),
    Campaign(
        "zombies",
        BOTH,
        ((acts.freeze_worker, 1), (acts.freeze_worker, 1), (acts.freeze_redis, 20)),
        Shape(workers=3),
        arrival_s=2.5,
        deleted_share=0.3,
    ),
    Campaign("no memory", BOTH, ((acts.kill_child, 2), (acts.starve_redis, 6))),
    Campaign("drains", BOTH, ((acts.drain_worker, 2), (acts.kill_worker, 15))),
    Campaign(
        "skewed clocks",
        ("aws",),  # one machine has one clock
        ((acts.step_clock, 3), (acts.kill_worker, 8), (acts.drain_worker, 8)),
        Shape(workers=3, skews_s=(60, -60, 0)),
    ),
    Campaign(
        "full disk",
        ("embedded",),
        ((acts.fill_disk, 4), (acts.kill_worker, 12)),
        Shape(is_on_small_disk=True),
    ),
    Campaign("bad lines", BOTH, ((acts.clients_fail, 1),)),
    Campaign(
        "partitions",
        ("aws",),
        (
            (acts.part_worker_from_redis, 3),
            (acts.part_worker_from_redis, 3),
            (acts.part_api_from_redis, 15),
            (acts.kill_worker, 12),
        ),
        Shape(workers=3),
        deleted_share=0.3,
    ),
    Campaign("s3", ("aws",), ((acts.s3_errors, 2), (acts.s3_slow, 8), (acts.s3_outage, 15))),
    Campaign(
        "dynamodb", ("aws",), ((acts.dynamodb_throttled, 3), (acts.dynamodb_loses_answers, 3))
    ),
    Campaign(
        "everything",
        ("aws",),
        (
            (acts.kill_worker, 6),
            (acts.freeze_worker, 15),
            (acts.drain_worker, 15),
            (acts.part_worker_from_redis, 15),
            (acts.kill_redis, 20),
            (acts.kill_origin, 30),
            (acts.s3_errors, 10),
            (acts.s3_slow, 20),
            (acts.dynamodb_throttled, 10),
            (acts.dynamodb_loses_answers, 15),
            (acts.clients_fail, 10),
        ),
        Shape(workers=3, skews_s=(60, -60, 0)),
    ),
)


async def run_campaign(
    campaign: Campaign, estate_name: str, titles: int, seed: int, show: Show
) -> Report:
    """What the machines wrote is kept, and named in the report, if anything was violated."""
    directory = Path(mkdtemp(prefix="headrace-chaos-"))
    storm = Storm(
        titles,
        campaign.acts,
        arrival_s=campaign.arrival_s,
        deleted_share=campaign.deleted_share,
    )
    report = await run_storm(storm, campaign.shape, estate_name, directory, seed, show)
    if report.violations:
        report.kept = directory
    else:
        rmtree(directory)
    return report


async def run_storm(
    storm: Storm, shape: Shape, estate_name: str, directory: Path, seed: int, show: Show
) -> Report:
    clips = make_clips(directory)
    clips += [make_heavy(directory, clips[0]), *make_damaged(directory, clips[0])]
    async with ESTATES[estate_name](directory, random.Random(seed), shape) as estate:
        return await Run(estate, storm, clips, seed, show).go()
