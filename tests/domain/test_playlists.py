from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.playlists import (
    AlternativeAudio,
    MediaPlaylist,
    MediaSegment,
    MultivariantPlaylist,
    PlaylistType,
    SegmentSizes,
    Variant,
)

GROWING = """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:6
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-START:TIME-OFFSET=0
#EXT-X-MAP:URI="init-1.mp4"
#EXTINF:1.001000,
00000-a.m4s
#EXTINF:6.006000,
00001-b.m4s
"""

FINAL = """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:6
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init-1.mp4"
#EXTINF:1.001000,
00000-a.m4s
#EXTINF:6.006000,
00001-b.m4s
#EXT-X-ENDLIST
"""


@pytest.mark.parametrize(
    ("kind", "expected"), [(PlaylistType.EVENT, GROWING), (PlaylistType.VOD, FINAL)]
)
def test_media_playlist_text(kind: PlaylistType, expected: str) -> None:
    segments = (MediaSegment(30030, "00000-a.m4s"), MediaSegment(180180, "00001-b.m4s"))
    assert MediaPlaylist(6, kind, "init-1.mp4", 30000, segments).render() == expected


def test_multivariant_playlist_text() -> None:
    playlist = MultivariantPlaylist(
        variants=(
            Variant(
                3_000_000,
                2_000_000,
                ("avc1.64001f", "mp4a.40.2"),
                "720p/playlist.m3u8",
                resolution=(1280, 720),
                frame_rate=Fraction(30000, 1001),
                audio_group="audio",
            ),
        ),
        audio=(AlternativeAudio("audio", "Audio", "und", 2, "audio/playlist.m3u8"),),
        growing=False,
    )
    assert playlist.render() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.64001f,'
        'mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,CLOSED-CAPTIONS=NONE,AUDIO="audio"\n'
        "720p/playlist.m3u8\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",LANGUAGE="und",DEFAULT=YES,'
        'AUTOSELECT=YES,CHANNELS="2",URI="audio/playlist.m3u8"\n'
    )


@given(
    timescale=st.sampled_from([90_000, 30_000, 24_000, 60_000, 48_000]),
    durations=st.lists(st.integers(1, 600_000), min_size=1, max_size=300),
)
def test_extinf_sum_never_strays_from_the_decode_time(timescale: int, durations: list[int]) -> None:
    segments = tuple(MediaSegment(duration, "s.m4s") for duration in durations)
    text = MediaPlaylist(10, PlaylistType.VOD, "i.mp4", timescale, segments).render()
    written = [line[8:-1] for line in text.splitlines() if line.startswith("#EXTINF:")]
    sum_us, sum_ticks = Fraction(0), 0
    for extinf, duration in zip(written, durations, strict=True):
        sum_us += Fraction(extinf)
        sum_ticks += duration
        assert abs(sum_us - Fraction(sum_ticks, timescale)) <= Fraction(1, 2_000_000)


def slow_peak(sizes: list[int], durations: list[int], timescale: int, target_s: int) -> Fraction:
    """Every contiguous run, one after the other."""
    rates = [Fraction(0)]
    for first in range(len(sizes)):
        for last in range(first, len(sizes)):
            seconds = Fraction(sum(durations[first : last + 1]), timescale)
            if Fraction(target_s, 2) <= seconds <= Fraction(3 * target_s, 2):
                rates.append(8 * sum(sizes[first : last + 1]) / seconds)
    return max(rates)


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 9 * 1000)), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_peak_bit_rate_is_that_of_the_worst_run(
    segments: list[tuple[int, int]], target_s: int
) -> None:
    sizes, durations = (list(column) for column in zip(*segments, strict=True))
    measured = SegmentSizes(1000, tuple(sizes), tuple(durations))
    slow = slow_peak(sizes, durations, 1000, target_s)
    peak = measured.peak_bit_rate(target_s)
    if slow:
        assert slow <= peak < slow + 1
    else:
        assert peak == measured.average_bit_rate()


def test_bit_rates_of_nothing_are_zero() -> None:
    assert SegmentSizes(1000, (), ()).peak_bit_rate(6) == 0
