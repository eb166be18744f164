from fractions import Fraction

import pytest

from bench.load.playlists import (
    NotAPlaylist,
    Segment,
    Variant,
    parse_media,
    parse_multivariant,
)

URL = "http://media.example/t/token/v/m/1/"
MULTIVARIANT = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="one, BANDWIDTH=1",URI="audio/playlist.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,AUDIO="audio"
720p/playlist.m3u8

#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,AUDIO="audio"
360p/playlist.m3u8
"""
SOUND = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=130000,CODECS="mp4a.40.2"
audio/playlist.m3u8
"""
GROWING = """#EXTM3U
#EXT-X-TARGETDURATION:6
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-MAP:URI="init-1.mp4"
#EXTINF:1.000000,
00000-a.m4s
#EXTINF:6.006000,
00001-b.m4s
"""


def test_variants_are_read_lowest_first() -> None:
    audio = f"{URL}audio/playlist.m3u8"
    assert parse_multivariant(MULTIVARIANT, f"{URL}index.m3u8?CMCD=x") == [
        Variant(f"{URL}360p/playlist.m3u8", 900_000, 360, audio),
        Variant(f"{URL}720p/playlist.m3u8", 3_000_000, 720, audio),
    ]


def test_title_of_sound_alone_has_no_other_track() -> None:
    assert parse_multivariant(SOUND, URL) == [
        Variant(f"{URL}audio/playlist.m3u8", 130_000, None, None)
    ]


def test_segments_follow_each_other_and_a_playlist_ends_when_it_says_so() -> None:
    growing = parse_media(GROWING, URL)
    assert growing.segments == [
        Segment(f"{URL}00000-a.m4s", f"{URL}init-1.mp4", 0, 1),
        Segment(f"{URL}00001-b.m4s", f"{URL}init-1.mp4", 1, 1 + 6.006),
    ]
    assert (growing.target_duration_s, growing.ended) == (6, False)
    assert (growing.duration_s, growing.last_s) == pytest.approx((7.006, 6.006))
    assert parse_media(GROWING + "#EXT-X-ENDLIST\n", URL).ended


@pytest.mark.parametrize(
    ("time_s", "number"), [(0, 0), (0.98, 0), (0.995, 1), (1, 1), (6.9, 1), (7.0, None), (99, None)]
)
def test_segment_is_found_by_time(time_s: float, number: int | None) -> None:
    growing = parse_media(GROWING, URL)
    expected = None if number is None else growing.segments[number]
    assert growing.segment_at(time_s) == expected


def test_every_segment_of_a_long_title_is_found_by_the_end_of_the_one_before() -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:6"]
    for number in range(3000):
        lines += [f"#EXTINF:{float(Fraction(1001, 5) / 40):.6f},", f"{number}.m4s"]
    playlist = parse_media("\n".join(lines), URL)
    at_s = 0.0
    for segment in playlist.segments:
        assert playlist.segment_at(at_s) == segment
        at_s = segment.end_s
    assert playlist.segment_at(at_s) is None


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U\n", "\n#EXTM3U-8"])
def test_what_is_no_playlist_is_told(text: str) -> None:
    with pytest.raises(NotAPlaylist):
        parse_multivariant(text, URL)
    with pytest.raises(NotAPlaylist):
        parse_media(text, URL)
