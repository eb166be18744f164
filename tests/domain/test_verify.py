from collections.abc import Callable
from dataclasses import replace

import pytest

from media.commit import Commit, RenditionFacts, SegmentFacts
from media.plan import Plan
from media.timeline import FrameRate
from media.verify import PackageError, verify
from tests.domain.plans import make_commits, make_plan


@pytest.mark.parametrize(
    "plan",
    [
        make_plan(),
        make_plan(audio=False),
        make_plan(frames=None),
        make_plan(frames=9),
        make_plan(frames=1000, rate=FrameRate(60000, 1001)),
    ],
)
def test_a_package_as_planned_passes(plan: Plan) -> None:
    verify(plan, make_commits(plan))


def change_segment(**changes: object) -> Callable[[list[Commit]], None]:
    def apply(commits: list[Commit]) -> None:
        commit = commits[2]
        part = commit.renditions[0]
        segment: SegmentFacts = replace(part.segments[0], **changes)  # type: ignore[arg-type]
        commits[2] = replace(
            commit, renditions=(replace(part, segments=(segment,)), *commit.renditions[1:])
        )

    return apply


def change_rendition(**changes: object) -> Callable[[list[Commit]], None]:
    def apply(commits: list[Commit]) -> None:
        commit = commits[2]
        part: RenditionFacts = replace(commit.renditions[0], **changes)  # type: ignore[arg-type]
        commits[2] = replace(commit, renditions=(part, *commit.renditions[1:]))

    return apply


def drop(commits: list[Commit]) -> None:
    del commits[2]


def double(commits: list[Commit]) -> None:
    commits.append(replace(commits[2], task="video-99999"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "720p: has segments 0, 2, 3, 4, 5 of 6; 360p: has segments 0, 2, 3, 4, 5 of 6"),
        (double, "720p: has segments 0, 1, 1, 2, 3, 4, 5 of 6"),
        (change_segment(decode_time=1), "720p segment 1: (decode time, duration, samples)"),
        (change_segment(duration=1), "720p segment 1: (decode time, duration, samples)"),
        (change_segment(sample_count=179), "720p segment 1: (decode time, duration, samples)"),
        (change_segment(starts_with_idr=False), "720p segment 1: does not start with an IDR"),
        (change_rendition(init_name="init-01.mp4"), "720p: expected one init segment"),
        (change_rendition(codecs="avc1.640028"), "720p: expected one init segment"),
        (change_rendition(timescale=1000), "720p: expected one init segment"),
        (change_rendition(name="999p"), "999p: not in the plan"),
    ],
)
def test_each_departure_from_the_plan_is_named(
    damage: Callable[[list[Commit]], None], message: str
) -> None:
    plan = make_plan(frames=30 * 25)
    commits = list(make_commits(plan))
    damage(commits)
    with pytest.raises(PackageError) as error:
        verify(plan, commits)
    assert message in str(error.value)


def test_audio_longer_than_the_video_is_refused() -> None:
    plan = make_plan()
    assert plan.audio is not None
    longer = replace(plan, audio=replace(plan.audio, sample_count=plan.audio.sample_count + 1024))
    with pytest.raises(PackageError, match="longer than the video"):
        verify(longer, make_commits(longer))
