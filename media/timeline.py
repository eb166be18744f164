"""Clock arithmetic: integer ticks of a named timescale; seconds never accumulate."""

from dataclasses import dataclass
from fractions import Fraction

AAC_FRAME_SAMPLES = 1024  # ISO/IEC 14496-3: samples that one AAC-LC access unit decodes to
AUDIO_SAMPLE_RATE = 48_000  # every audio rendition; its timescale too

STANDARD_FRAME_RATES = tuple(
    Fraction(*rate)
    for rate in (
        (10, 1),
        (12, 1),
        (15, 1),
        (20, 1),
        (24000, 1001),
        (24, 1),
        (25, 1),
        (30000, 1001),
        (30, 1),
        (50, 1),
        (60000, 1001),
        (60, 1),
    )
)


@dataclass(frozen=True, slots=True)
class FrameRate:
    """`num / den` frames per second, a constant rate."""

    num: int
    den: int

    @property
    def fraction(self) -> Fraction:
        return Fraction(self.num, self.den)

    @property
    def timescale(self) -> int:
        """90 kHz where a frame is a whole number of its ticks, else the rate's numerator."""
        return 90_000 if 90_000 * self.den % self.num == 0 else self.num

    @property
    def frame_ticks(self) -> int:
        """Duration of one frame in `timescale` ticks; exact."""
        return self.timescale * self.den // self.num

    def slot(self, pts_s: Fraction) -> int:
        """The frame number on the absolute grid nearest to a presentation time, halves up.

        A decoded frame is shown from its own slot up to the next frame's slot, so any chunk
        that starts decoding at or before its first slot picks exactly the frames which one
        pass over the whole source would pick.
        """
        return round_half_up(pts_s * self.fraction)


def round_half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def nearest_standard_rate(median_frame_duration_s: Fraction) -> FrameRate:
    """The standard rate nearest to a source's median frame duration, at most 60 per second.

    The median ignores the gaps of variable-rate sources that make average rates useless.
    """
    best = min(
        STANDARD_FRAME_RATES, key=lambda rate: abs(1 / rate - median_frame_duration_s) * rate
    )
    return FrameRate(best.numerator, best.denominator)
