"""What will be encoded, decided once per title from the probe and the configuration.

A plan holds no time in seconds that anything is computed from: frames for video, samples for
audio. It is pure data; the same source and configuration give the same plan, and its hash is
the `version` in every published URL.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

import orjson

from media.asset import AssetType
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, FrameRate, round_half_up

UNDETERMINED = "und"  # ISO 639-2's code for a language that is not known

GOP_S = 2  # Apple HLS authoring 1.13: a key frame about every two seconds
FIRST_SEGMENT_S = 1  # short, so that a title is playable seconds after its upload
# Which version of the rules in this file cut a title into segments and chunks. Raise it with every
# change of them: titles that are in progress during an upgrade must not be cut by two rules.
GRID = 1

# Segments per chunk: few, which bounds what a dying worker loses and spreads one title over many.
FIRST_CHUNK_SEGMENTS = 2  # the second follows the first without another start of a decoder
EARLY_CHUNKS = 2  # of one segment each, after the first: the start is watched while it is made
SEGMENTS_PER_CHUNK = 2


@dataclass(frozen=True, slots=True)
class Rung:
    """One video rendition to encode. Sizes are even, pixels square, rotation applied."""

    name: str
    width: int
    height: int
    max_bit_rate: int  # bit/s, the VBV ceiling

    def __post_init__(self) -> None:
        assert self.width % 2 == 0 and self.height % 2 == 0, f"odd size in {self}"


@dataclass(frozen=True, slots=True)
class AudioRung:
    name: str
    bit_rate: int  # bit/s
    channels: int


class Orientation(StrEnum):
    """What makes a stored picture upright; the names are those of the turn to apply."""

    UPRIGHT = "upright"
    CLOCKWISE = "clockwise"
    HALF_TURN = "half_turn"
    COUNTERCLOCKWISE = "counterclockwise"
    MIRROR = "mirror"  # left and right
    FLIP = "flip"  # top and bottom
    TRANSPOSE = "transpose"
    TRANSVERSE = "transverse"

    @property
    def swaps_sides(self) -> bool:
        return self in {
            Orientation.CLOCKWISE,
            Orientation.COUNTERCLOCKWISE,
            Orientation.TRANSPOSE,
            Orientation.TRANSVERSE,
        }


class ToneMap(StrEnum):
    """The HDR transfer that has to be brought down to SDR."""

    NONE = "none"
    PQ = "pq"
    HLG = "hlg"


@dataclass(frozen=True, slots=True)
class Colour:
    """What the encoded pictures are signalled as: code points of ITU-T H.273, limited range."""

    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True, slots=True)
class VideoPlan:
    stream_index: int
    rate: FrameRate
    frame_count: int
    rungs: tuple[Rung, ...]  # highest first
    seekable: bool  # False: decode once, in order, as one chunk
    encoder: str = "libx264"  # FFmpeg's name; one for the whole title, or init segments differ
    orientation: Orientation = Orientation.UPRIGHT
    deinterlace: bool = False
    tone_map: ToneMap = ToneMap.NONE
    colour: Colour = Colour(1, 1, 1)


@dataclass(frozen=True, slots=True)
class AudioPlan:
    stream_index: int
    sample_count: int  # a multiple of 1024; covers the video where there is one
    rungs: tuple[AudioRung, ...]  # one for a video title, two for an audio title
    language: str = UNDETERMINED  # BCP 47, which has ISO 639-2's codes in it


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of whole segments: the unit of work and of retry."""

    index: int
    first_segment: int
    segment_count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`origin` is the source time in seconds that becomes media time 0, as (num, den)."""

    origin: tuple[int, int]
    segment_duration_s: int
    video: VideoPlan | None
    audio: AudioPlan | None
    preset: str
    crf: int
    grid: int = GRID

    @property
    def type(self) -> AssetType:
        return AssetType.VIDEO if self.video else AssetType.AUDIO

    @property
    def version(self) -> str:
        return hashlib.blake2b(orjson.dumps(self), digest_size=6).hexdigest()

    @property
    def video_boundaries(self) -> tuple[int, ...]:
        """First frame of each segment, then the frame count; empty without video."""
        return _video_boundaries(self)

    @property
    def audio_boundaries(self) -> tuple[int, ...]:
        """First sample of each segment, then the sample count; all multiples of 1024."""
        return _audio_boundaries(self)

    @property
    def gop_frames(self) -> int:
        assert self.video is not None
        return round_half_up(GOP_S * self.video.rate.fraction)

    @property
    def segment_count(self) -> int:
        return len(self.video_boundaries or self.audio_boundaries) - 1

    @property
    def duration_s(self) -> float:
        if self.video is not None:
            return float(self.video.frame_count / self.video.rate.fraction)
        assert self.audio is not None
        return self.audio.sample_count / AUDIO_SAMPLE_RATE

    def chunks(self) -> tuple[Chunk, ...]:
        """The video work in order; empty for an audio title."""
        if self.video is None:
            return ()
        if not self.video.seekable:
            return (Chunk(0, 0, self.segment_count),)
        return tuple(_chunks(self.segment_count))

    def target_duration_s(self) -> int:
        """EXT-X-TARGETDURATION of every playlist: known before the first segment exists."""
        longest = Fraction(max(_lengths(self.audio_boundaries), default=0), AUDIO_SAMPLE_RATE)
        if self.video is not None:
            frames = max(_lengths(self.video_boundaries))
            longest = max(longest, frames / self.video.rate.fraction)
        return max(1, round_half_up(longest))


@lru_cache(maxsize=64)
def _video_boundaries(plan: Plan) -> tuple[int, ...]:
    if plan.video is None:
        return ()
    return segment_boundaries(
        plan.video.frame_count,
        first=round_half_up(FIRST_SEGMENT_S * plan.video.rate.fraction),
        gop=plan.gop_frames,
        gops=plan.segment_duration_s // GOP_S,
    )


@lru_cache(maxsize=64)
def _audio_boundaries(plan: Plan) -> tuple[int, ...]:
    if plan.audio is None:
        return ()
    if plan.video is None:
        return audio_only_boundaries(plan.audio.sample_count, plan.segment_duration_s)
    starts = [
        nearest_aac_frame(first_frame / plan.video.rate.fraction)
        for first_frame in plan.video_boundaries[:-1]
    ]
    return (*starts, plan.audio.sample_count)


def segment_boundaries(total: int, *, first: int, gop: int, gops: int) -> tuple[int, ...]:
    """Segment starts in frames and the end: a short segment, one of 1 GOP, one of 2, and so on
    up to `gops` GOPs.

    The ramp lets a viewer who starts at once go on watching: each segment is made while those
    before it are played.

    A last segment shorter than one GOP would stall players (hls.js #7646), so such a tail is
    joined to the last whole GOP before it; that makes no segment longer than `gops` GOPs unless
    segments are single GOPs, or the whole title is one segment.
    """
    if total < first + gop:
        return (0, total)
    starts, start = [0], first
    while start < total:
        starts.append(start)
        start += min(len(starts) - 1, gops) * gop
    return (*_without_short_tail(starts, total, shortest=gop), total)


def audio_only_boundaries(total: int, segment_duration_s: int) -> tuple[int, ...]:
    """In samples, every start on an AAC frame; a tail joins its neighbour. No ramp: sound alone
    is encoded far faster than it is played."""
    first = nearest_aac_frame(Fraction(FIRST_SEGMENT_S))
    shortest = nearest_aac_frame(Fraction(GOP_S))
    if total < first + shortest:
        return (0, total)
    count = -(-total // (segment_duration_s * AUDIO_SAMPLE_RATE)) + 1
    starts = [
        nearest_aac_frame(Fraction(FIRST_SEGMENT_S + n * segment_duration_s)) for n in range(count)
    ]
    starts = [0, *(start for start in starts if start < total)]
    return (*_without_short_tail(starts, total, shortest=shortest), total)


def _without_short_tail(starts: list[int], total: int, *, shortest: int) -> list[int]:
    if total - starts[-1] >= shortest:
        return starts
    moved = starts[-1] - shortest
    return [*starts[:-1], moved] if moved > starts[-2] else starts[:-1]


def nearest_aac_frame(time_s: Fraction) -> int:
    """The multiple of 1024 samples nearest to a time."""
    return round_half_up(time_s * AUDIO_SAMPLE_RATE / AAC_FRAME_SAMPLES) * AAC_FRAME_SAMPLES


def _lengths(boundaries: tuple[int, ...]) -> list[int]:
    return [end - start for start, end in itertools.pairwise(boundaries)]


def _chunks(segment_count: int) -> Iterator[Chunk]:
    first = 0
    for index in itertools.count():
        length = SEGMENTS_PER_CHUNK
        if index <= EARLY_CHUNKS:
            length = FIRST_CHUNK_SEGMENTS if index == 0 else 1
        length = min(length, segment_count - first)
        if length == 0:
            return
        yield Chunk(index, first, length)
        first += length
