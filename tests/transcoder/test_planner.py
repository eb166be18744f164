from dataclasses import replace
from fractions import Fraction

import pytest

from media.plan import Plan
from media.settings import FfmpegSettings
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE
from tests.transcoder.test_messages import PROBED
from transcoder.planner import make_plan
from transcoder.source import ProbeResult


def plan_for(video_end: Fraction | None, audio_end: Fraction | None) -> Plan:
    assert PROBED.video is not None
    assert PROBED.audio is not None
    probed: ProbeResult = replace(
        PROBED,
        origin=Fraction(10),
        video=None if video_end is None else replace(PROBED.video, end=video_end + 10),
        audio=None if audio_end is None else replace(PROBED.audio, end=audio_end + 10),
    )
    return make_plan(probed, FfmpegSettings(), encoder="libx264")


@pytest.mark.parametrize(
    ("video_end", "audio_end", "expected"),
    [
        (Fraction(20), None, 20),
        (Fraction(20), Fraction(5), 20),  # silence follows
        (Fraction(20), Fraction(201, 10), 20),  # cut
        (Fraction(20), Fraction(30), 30),  # the last picture stays
        (None, Fraction(30), 30),
    ],
)
def test_title_is_as_long_as_what_is_in_it(
    video_end: Fraction | None, audio_end: Fraction | None, expected: int
) -> None:
    assert plan_for(video_end, audio_end).duration_s == pytest.approx(expected, abs=0.035)


@pytest.mark.parametrize("thousandths", range(1000, 1100, 7))
def test_sound_covers_the_picture_by_less_than_one_frame(thousandths: int) -> None:
    plan = plan_for(Fraction(thousandths, 1000), Fraction(1))
    assert plan.video is not None
    assert plan.audio is not None
    shown = plan.video.frame_count / plan.video.rate.fraction * AUDIO_SAMPLE_RATE
    assert plan.audio.sample_count % AAC_FRAME_SAMPLES == 0
    assert 0 <= plan.audio.sample_count - shown < AAC_FRAME_SAMPLES


def test_same_source_gives_the_same_version() -> None:
    assert plan_for(Fraction(20), None).version == plan_for(Fraction(20), None).version
    assert plan_for(Fraction(20), None).version != plan_for(Fraction(21), None).version


def test_shortest_title_has_one_frame() -> None:
    plan = plan_for(Fraction(0), None)
    assert plan.video is not None
    assert plan.video.frame_count == 1
