from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.plan import Chunk, audio_only_boundaries, segment_boundaries
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, FrameRate
from tests.domain.plans import make_plan


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (10, (0, 10)),  # shorter than the first segment
        (89, (0, 89)),  # what follows the first segment would be shorter than a GOP
        (90, (0, 30, 90)),
        (150, (0, 30, 90, 150)),  # a tail of a whole GOP stands alone
        (140, (0, 30, 140)),  # a shorter one joins the single GOP before it
        (210, (0, 30, 90, 210)),
        (260, (0, 30, 90, 150, 260)),  # a 50-frame tail takes one GOP from its neighbour
        (270, (0, 30, 90, 210, 270)),
        (400, (0, 30, 90, 210, 330, 400)),
        (480, (0, 30, 90, 210, 390, 480)),
    ],
)
def test_segment_boundaries_at_30_fps(total: int, expected: tuple[int, ...]) -> None:
    assert segment_boundaries(total, first=30, gop=60, gops=3) == expected


@given(
    total=st.integers(1, 100_000),
    rate=st.sampled_from([(10, 20), (24, 48), (30, 60), (60, 120)]),
    gops=st.integers(1, 5),
)
def test_segment_boundaries_cover_everything_in_whole_gops(
    total: int, rate: tuple[int, int], gops: int
) -> None:
    first, gop = rate
    boundaries = segment_boundaries(total, first=first, gop=gop, gops=gops)
    lengths = [end - start for start, end in pairwise(boundaries)]
    assert boundaries[0] == 0
    assert boundaries[-1] == total
    assert all((length % gop) == 0 for length in lengths[1:-1])
    if len(lengths) > 1:
        assert lengths[0] == first
        assert lengths[-1] >= gop
        assert max(lengths[1:]) <= max(gops * gop, 2 * gop - 1)


@given(st.integers(1, 500), st.sampled_from([2, 4, 6, 10]))
def test_audio_only_boundaries_are_whole_aac_frames(frames: int, segment_s: int) -> None:
    total = frames * AAC_FRAME_SAMPLES
    boundaries = audio_only_boundaries(total, segment_s)
    assert boundaries[0] == 0
    assert boundaries[-1] == total
    assert all(boundary % AAC_FRAME_SAMPLES == 0 for boundary in boundaries)
    assert all(end > start for start, end in pairwise(boundaries))
    if len(boundaries) > 2:
        assert boundaries[-1] - boundaries[-2] > 1.9 * AUDIO_SAMPLE_RATE


def test_audio_boundaries_stay_within_half_an_aac_frame_of_the_video() -> None:
    plan = make_plan(frames=5000, rate=FrameRate(30000, 1001))
    half_frame_s = Fraction(AAC_FRAME_SAMPLES, 2 * AUDIO_SAMPLE_RATE)
    pairs = zip(plan.video_boundaries[:-1], plan.audio_boundaries[:-1], strict=True)
    for frame, sample in pairs:
        video_s = frame * Fraction(1001, 30000)
        assert abs(Fraction(sample, AUDIO_SAMPLE_RATE) - video_s) <= half_frame_s


def test_chunks_hold_every_segment_once_in_order() -> None:
    plan = make_plan(frames=30 * 60)
    numbers = [
        number
        for chunk in plan.chunks()
        for number in range(chunk.first_segment, chunk.first_segment + chunk.segment_count)
    ]
    assert numbers == list(range(plan.segment_count))
    assert plan.chunks()[:3] == (Chunk(0, 0, 2), Chunk(1, 2, 1), Chunk(2, 3, 1))


def test_target_duration_rounds_to_nearest() -> None:
    assert make_plan(rate=FrameRate(30000, 1001), frames=900).target_duration_s() == 6
    assert make_plan(frames=9).target_duration_s() == 1


def test_version_names_the_whole_plan() -> None:
    assert make_plan().version == make_plan().version
    assert make_plan(frames=781).version != make_plan().version
