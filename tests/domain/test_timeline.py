from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.timeline import (
    STANDARD_FRAME_RATES,
    FrameRate,
    nearest_standard_rate,
    round_half_up,
)

RATES = st.sampled_from([FrameRate(r.numerator, r.denominator) for r in STANDARD_FRAME_RATES])
TIMES = st.fractions(min_value=-10, max_value=100_000, max_denominator=90_000)


@given(RATES)
def test_frame_ticks_are_exact(rate: FrameRate) -> None:
    assert Fraction(rate.frame_ticks, rate.timescale) == 1 / rate.fraction


@given(RATES, TIMES)
def test_slot_is_the_nearest_frame(rate: FrameRate, pts: Fraction) -> None:
    frame_s = 1 / rate.fraction
    assert -frame_s / 2 <= pts - rate.slot(pts) * frame_s < frame_s / 2


@given(RATES, TIMES, TIMES)
def test_slot_keeps_the_order_of_time(rate: FrameRate, a: Fraction, b: Fraction) -> None:
    first, second = sorted((a, b))
    assert rate.slot(first) <= rate.slot(second)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Fraction(1, 2), 1), (Fraction(-1, 2), 0), (Fraction(3, 2), 2), (Fraction(49, 100), 0)],
)
def test_round_half_up(value: Fraction, expected: int) -> None:
    assert round_half_up(value) == expected


@pytest.mark.parametrize(
    ("median_s", "expected"),
    [
        (Fraction(1, 30), FrameRate(30, 1)),
        (Fraction(1001, 30000), FrameRate(30000, 1001)),
        (Fraction(42, 1000), FrameRate(24000, 1001)),  # a millisecond time base
        (Fraction(33, 1000), FrameRate(30, 1)),
        (Fraction(1, 120), FrameRate(60, 1)),
        (Fraction(1, 8), FrameRate(10, 1)),
        (Fraction(80, 1000), FrameRate(12, 1)),
        (Fraction(10), FrameRate(10, 1)),
    ],
)
def test_nearest_standard_rate(median_s: Fraction, expected: FrameRate) -> None:
    assert nearest_standard_rate(median_s) == expected
