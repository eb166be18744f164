from dataclasses import replace

import pytest

from media.plan import AudioPlan, Plan, Rung, VideoPlan
from media.timeline import FrameRate
from transcoder.encoder import ENCODERS, HARDWARE, SOFTWARE, open_encoder, try_encoder
from transcoder.messages import Message, Opened

RUNG = Rung("720p", 1280, 720, 2_800_000)
VIDEO = VideoPlan(0, FrameRate(30_000, 1001), 300, (RUNG,), seekable=True)
PLAN = Plan((0, 1), 6, VIDEO, None, "veryfast", 23)


@pytest.mark.parametrize("name", ENCODERS)
def test_rate_is_capped_and_groups_are_closed(name: str) -> None:
    options = ENCODERS[name](PLAN, RUNG)
    assert options["maxrate"] == "2800000"
    assert options["bufsize"] == "4200000"
    assert options["g"] == "60"
    assert options["forced-idr"] == "1"
    assert options["bf"] == "2"


@pytest.mark.parametrize("rate", [FrameRate(10, 1), FrameRate(24_000, 1001), FrameRate(60, 1)])
def test_packets_are_on_the_grid(rate: FrameRate) -> None:
    context = open_encoder(replace(PLAN, video=replace(VIDEO, rate=rate)), RUNG)
    assert context.time_base == 1 / rate.fraction
    assert context.extradata


def said_of(name: str) -> Opened:
    said: list[Message] = []
    try_encoder(said.append, name)
    (answer,) = said
    assert isinstance(answer, Opened)
    return answer


def test_software_encodes() -> None:
    assert said_of(SOFTWARE) == Opened(works=True, reason="")


def test_hardware_encodes_or_says_why_not() -> None:
    answer = said_of(HARDWARE)
    assert answer.works == (answer.reason == "")


def test_encoder_that_is_not_built_in_does_not_work() -> None:
    assert said_of("h264_nosuch") == Opened(False, "this build of FFmpeg has no h264_nosuch")


def test_encoder_is_part_of_the_version() -> None:
    """Parts of one title made by different encoders would not fit together."""
    other = replace(PLAN, video=replace(VIDEO, encoder=HARDWARE))
    assert other.version != PLAN.version
    assert replace(PLAN, audio=AudioPlan(0, 1024, ())).version != PLAN.version
