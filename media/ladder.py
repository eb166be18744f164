"""Which renditions a source gets: profiles are boxes to fit into, and nothing is ever enlarged."""

from collections.abc import Sequence
from fractions import Fraction

from media.plan import AudioRung, Rung
from media.settings import Profile
from media.timeline import round_half_up

# A rung at the source's own size is worth encoding only if it shows clearly more than the next
# profile below it.
WORTHWHILE_PIXEL_RATIO = Fraction(5, 4)


def plan_ladder(width: int, height: int, profiles: Sequence[Profile]) -> tuple[Rung, ...]:
    """The video rungs, highest first, for a source shown at `width` x `height` square pixels.

    A portrait source gets the boxes upright. A source that lies between two profiles gets the
    upper one at its own size, called by its lines; one below all profiles gets just that.
    """
    rungs: list[Rung] = []
    for profile in sorted(profiles, key=lambda profile: profile.width * profile.height):
        scale = _scale_to_fit(width, height, profile)
        rung = _rung(width, height, min(scale, Fraction(1)), profile)
        if scale <= 1 or not rungs or _is_worthwhile(rung, rungs[-1]):
            rungs.append(rung)
        if scale >= 1:
            break
    return tuple(reversed(rungs))


def plan_audio_rungs(
    channels: int, profiles: Sequence[Profile], *, with_video: bool
) -> tuple[AudioRung, ...]:
    """One rendition shared by every variant of a video, at the best profile's bit rate; an audio
    title gets the best and the lowest."""
    bit_rates = sorted({profile.audiobitrate for profile in profiles}, reverse=True)
    if with_video:
        return (AudioRung("audio", bit_rates[0], channels),)
    if len(bit_rates) == 1:
        bit_rates.append(bit_rates[0] // 2)
    return tuple(
        AudioRung(f"audio-{bit_rate // 1000}k", bit_rate, channels)
        for bit_rate in (bit_rates[0], bit_rates[-1])
    )


def _scale_to_fit(width: int, height: int, profile: Profile) -> Fraction:
    """How much the source may grow (> 1) or must shrink (< 1) to fill the profile's box."""
    long_box, short_box = sorted((profile.width, profile.height), reverse=True)
    box = (long_box, short_box) if width >= height else (short_box, long_box)
    return min(Fraction(box[0], width), Fraction(box[1], height))


def _rung(width: int, height: int, scale: Fraction, profile: Profile) -> Rung:
    scaled = _even(width, scale), _even(height, scale)
    own_size = scale == 1 and _scale_to_fit(width, height, profile) > 1
    name = f"{min(scaled)}p" if own_size else profile.name
    return Rung(name, *scaled, profile.videobitrate)


def _is_worthwhile(rung: Rung, below: Rung) -> bool:
    return rung.width * rung.height >= below.width * below.height * WORTHWHILE_PIXEL_RATIO


def _even(length: int, scale: Fraction) -> int:
    """The nearest even length; 4:2:0 needs it, and the source's own is never exceeded."""
    return max(2, min(2 * round_half_up(length * scale / 2), length - length % 2))
