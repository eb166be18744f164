"""HLS playlists (draft-pantos-hls-rfc8216bis): a dataclass per playlist, a field per tag, one
`render()` in tag order. Nothing here parses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

VERSION = 6  # EXT-X-MAP outside I-frame playlists needs 6; a higher one turns old clients away

# Starts a growing playlist at its beginning: without it players join an EVENT playlist near
# its end. Final playlists do not carry it, which also tells the two apart.
START_AT_BEGINNING = "#EXT-X-START:TIME-OFFSET=0"


class PlaylistType(StrEnum):
    EVENT = "EVENT"  # only ever appended to
    VOD = "VOD"  # never changes


@dataclass(frozen=True, slots=True)
class MediaSegment:
    duration: int  # EXTINF, in ticks of the playlist's timescale
    uri: str


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    target_duration_s: int  # EXT-X-TARGETDURATION
    playlist_type: PlaylistType  # EXT-X-PLAYLIST-TYPE, and EXT-X-ENDLIST with VOD
    init_uri: str  # EXT-X-MAP
    timescale: int
    segments: tuple[MediaSegment, ...]

    def render(self) -> str:
        growing = self.playlist_type is PlaylistType.EVENT
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{VERSION}",
            f"#EXT-X-TARGETDURATION:{self.target_duration_s}",
            "#EXT-X-MEDIA-SEQUENCE:0",
            f"#EXT-X-PLAYLIST-TYPE:{self.playlist_type}",
        ]
        if growing:
            lines.append(START_AT_BEGINNING)
        lines.append(f'#EXT-X-MAP:URI="{self.init_uri}"')
        for microseconds, segment in zip(self._extinf_us(), self.segments, strict=True):
            lines.append(f"#EXTINF:{microseconds // 1_000_000}.{microseconds % 1_000_000:06},")
            lines.append(segment.uri)
        if not growing:
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def _extinf_us(self) -> Iterator[int]:
        """Durations in microseconds whose running sum is never off by more than half of one:
        Shaka Player re-aligns a track whose sum strays 1 ms from its tfdt."""
        end_ticks = end_us = 0
        for segment in self.segments:
            start_us = end_us
            end_ticks += segment.duration
            end_us = (2_000_000 * end_ticks + self.timescale) // (2 * self.timescale)
            yield end_us - start_us


@dataclass(frozen=True, slots=True)
class AlternativeAudio:
    """EXT-X-MEDIA:TYPE=AUDIO."""

    group_id: str
    name: str
    language: str
    channels: int
    uri: str

    def render(self) -> str:
        return (
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{self.group_id}",NAME="{self.name}"'
            f',LANGUAGE="{self.language}",DEFAULT=YES,AUTOSELECT=YES'
            f',CHANNELS="{self.channels}",URI="{self.uri}"'
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """EXT-X-STREAM-INF. Bit rates are bit/s and include the audio group's."""

    peak_bit_rate: int  # BANDWIDTH
    average_bit_rate: int  # AVERAGE-BANDWIDTH
    codecs: tuple[str, ...]  # CODECS
    uri: str
    resolution: tuple[int, int] | None = None  # RESOLUTION
    frame_rate: Fraction | None = None  # FRAME-RATE
    audio_group: str | None = None  # AUDIO

    def render(self) -> str:
        attributes = [
            f"BANDWIDTH={self.peak_bit_rate}",
            f"AVERAGE-BANDWIDTH={self.average_bit_rate}",
            f'CODECS="{",".join(self.codecs)}"',
        ]
        if self.resolution is not None and self.frame_rate is not None:
            attributes.append("RESOLUTION={}x{}".format(*self.resolution))
            attributes.append(f"FRAME-RATE={float(self.frame_rate):.3f}")
            attributes.append("CLOSED-CAPTIONS=NONE")
        if self.audio_group is not None:
            attributes.append(f'AUDIO="{self.audio_group}"')
        return f"#EXT-X-STREAM-INF:{','.join(attributes)}\n{self.uri}"


@dataclass(frozen=True, slots=True)
class MultivariantPlaylist:
    variants: tuple[Variant, ...]  # the first is where players start
    audio: tuple[AlternativeAudio, ...]
    growing: bool

    def render(self) -> str:
        """EXT-X-MEDIA comes after EXT-X-STREAM-INF: FFmpeg takes its zero point from the first
        playlist it opens, and seeks a GOP too late when that is the audio's."""
        lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
        if self.growing:
            lines.append(START_AT_BEGINNING)
        lines += [variant.render() for variant in self.variants]
        lines += [audio.render() for audio in self.audio]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class SegmentSizes:
    """What the bit rates of a rendition are measured from: per segment, bytes and ticks."""

    timescale: int
    sizes: tuple[int, ...]
    durations: tuple[int, ...]

    def peak_bit_rate(self, target_duration_s: int) -> int:
        """Largest bit rate of any run of segments that lasts 0.5 to 1.5 target durations.

        bis 4.4.6.2 and RFC 8216 4.1. A title shorter than half a target duration has only its
        average. bit/s, rounded up: a peak may not exceed what is declared.
        """
        shortest = target_duration_s * self.timescale // 2
        longest = target_duration_s * self.timescale * 3 // 2
        best = 0
        for first in range(len(self.sizes)):
            size = duration = 0
            for n in range(first, len(self.sizes)):
                size += self.sizes[n]
                duration += self.durations[n]
                if duration > longest:
                    break
                if duration >= shortest:
                    best = max(best, -(-8 * size * self.timescale // duration))
        return best or self.average_bit_rate()

    def average_bit_rate(self) -> int:
        duration = sum(self.durations)
        return -(-8 * sum(self.sizes) * self.timescale // duration) if duration else 0
