import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.stream import VideoStream

from media.asset import AssetType
from media.plan import Colour, Orientation, ToneMap
from media.timeline import FrameRate
from stores.jobs.base import TaskFailed
from stores.objects.base import Source
from tests.transcoder.encoding import LocalFile, peak_growth, planned, probed
from tests.transcoder.running import CLIPS
from tests.transcoder.sources import constant, tone, write_audio, write_video
from transcoder.planner import source_info
from transcoder.probe import probe
from transcoder.work import Send


@pytest.mark.parametrize(
    ("clip", "video", "audio"),
    [
        ("bbb-720p25-5.1.mp4", ("h264", 1280, 720, (25, 1)), ("aac", 6, 48_000)),
        ("bbb-720p24-30s-vp8-vorbis.webm", ("vp8", 1280, 720, (24, 1)), ("vorbis", 2, 44_100)),
        ("bbb-rotated90.mp4", ("h264", 1080, 1920, (24, 1)), ("aac", 6, 48_000)),
        (
            "drone-480p29.97-fullrange.mp4",
            ("h264", 854, 480, (30_000, 1001)),
            ("aac", 2, 48_000),
        ),
        ("anamorphic-sar2x1-no-audio.mp4", ("h264", 1280, 360, (30, 1)), None),
        ("nasa-2video-2audio-2subs.mp4", ("h264", 480, 270, (30_000, 1001)), ("aac", 2, 8_000)),
        ("hdr10-av1-59.94.mp4", ("av1", 1920, 1080, (60_000, 1001)), ("aac", 2, 44_100)),
        ("odd-161x121-vp9.webm", ("vp9", 161, 121, (30_000, 1001)), None),
        ("audio-only-cover.mp3", None, ("mp3", 2, 48_000)),
        ("audio-only-cover.flac", None, ("flac", 2, 48_000)),
        ("bad-missing-stsd.mp4", ("h264", 1080, 720, (30_000, 1001)), None),
    ],
)
def test_clip_is_what_it_is(
    clip: str,
    video: tuple[str, int, int, tuple[int, int]] | None,
    audio: tuple[str, int, int] | None,
) -> None:
    result = probed(CLIPS / clip)
    if video is None:
        assert result.video is None
    else:
        assert result.video is not None
        found = result.video
        assert (found.codec, found.width, found.height, (found.rate.num, found.rate.den)) == video
    if audio is None:
        assert result.audio is None
    else:
        assert result.audio is not None
        assert (result.audio.codec, result.audio.channels, result.audio.sample_rate) == audio


def test_rotation_and_colour() -> None:
    rotated = probed(CLIPS / "bbb-rotated90.mp4").video
    assert rotated is not None
    assert rotated.orientation is Orientation.CLOCKWISE
    hlg = probed(CLIPS / "hdr-hlg10-hevc.mp4").video
    assert hlg is not None
    assert (hlg.tone_map, hlg.colour) == (ToneMap.HLG, Colour(1, 1, 1))


@pytest.mark.parametrize(
    "rate", [10, 12, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, 60]
)
@pytest.mark.parametrize("time_base", [Fraction(1, 90_000), Fraction(1, 1000)])
def test_frame_rate_is_measured(tmp_path: Path, rate: Fraction | int, time_base: Fraction) -> None:
    suffix = "mkv" if time_base == Fraction(1, 1000) else "mp4"
    clip = write_video(
        tmp_path / f"a.{suffix}",
        constant(120, rate),
        options={"preset": "ultrafast"},
        time_base=time_base,
    )
    result = probed(clip)
    assert result.video is not None
    assert result.video.rate.fraction == rate
    assert float(result.video.end) == pytest.approx(float(120 / Fraction(rate)), abs=0.035)


def test_rate_above_60_is_halved(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", constant(120, 120), options={"preset": "ultrafast"})
    result = probed(clip)
    assert result.video is not None
    assert result.video.rate == FrameRate(60, 1)


def test_origin_is_the_first_of_both(tmp_path: Path) -> None:
    sound = [(Fraction(21, 2), tone(48_000))]
    clip = write_video(tmp_path / "a.mkv", constant(60, 30, Fraction(10)), audio=sound)
    assert probed(clip).origin == 10
    sound = [(Fraction(19, 2), tone(48_000))]
    clip = write_video(tmp_path / "b.mkv", constant(60, 30, Fraction(10)), audio=sound)
    assert float(probed(clip).origin) == pytest.approx(9.5, abs=0.025)


def test_sound_that_outlasts_the_picture_is_kept(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mkv", constant(30, 30), audio=[(Fraction(0), tone(144_000))])
    plan = planned(clip)
    assert plan.duration_s == pytest.approx(3, abs=0.05)


def test_audio_file_is_an_audio_title() -> None:
    for name in ("audio-only-cover.mp3", "audio-only-cover.flac"):
        plan = planned(CLIPS / name)
        assert plan.type is AssetType.AUDIO
        assert plan.audio is not None
        assert [rung.name for rung in plan.audio.rungs] == ["audio-128k", "audio-64k"]
        info = source_info(probed(CLIPS / name))
        assert (info.width, info.video_codec) == (None, None)


def refused_probe(send: Send, source: Source) -> None:
    with pytest.raises(TaskFailed):
        probe(send, source)


def refusal(path: Path) -> TaskFailed:
    with pytest.raises(TaskFailed) as failed:
        probed(path)
    assert not failed.value.failure.retryable
    return failed.value


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("text", b"Dear Sir or Madam,\n" * 1000),
        ("zeros", bytes(1 << 20)),
        ("jpeg", bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(999)),
        ("hls", b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile:///etc/passwd\n"),
        ("concat", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
        (
            "sdp",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        ),
        ("dash", b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>"),
        ("subtitles", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20),
    ],
)
def test_what_is_not_media_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path).failure.code == "not_media"


def test_playlist_cannot_read_other_files(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.ts", constant(30, 30))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    assert refusal(playlist).failure.code == "not_media"


def test_undecodable_streams_are_refused() -> None:
    failed = refusal(CLIPS / "bad-bitstream.webm")
    assert failed.failure.code == "undecodable"
    assert "vp9" in failed.failure.message


def test_tag_that_is_not_utf_8_is_no_reason_to_refuse(tmp_path: Path) -> None:
    clip = write_audio(tmp_path / "a.wav", [(Fraction(0), tone(48_000))], codec="pcm_s16le")
    name = b"INFOINAM\x08\0\0\0Caf\xe9 \xe9\xe9\0"
    data = clip.read_bytes() + b"LIST" + struct.pack("<I", len(name)) + name
    clip.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert probed(clip).audio is not None


def test_good_file_has_no_warnings() -> None:
    for name in ("bbb-720p25-5.1.mp4", "subtitles-srt.mkv", "nasa-2video-2audio-2subs.mp4"):
        assert probed(CLIPS / name).warnings == ()


def test_track_that_cannot_be_used_is_told() -> None:
    assert planned(CLIPS / "bad-missing-stsd.mp4").audio is None
    assert probed(CLIPS / "bad-missing-stsd.mp4").warnings == (
        "A sound track cannot be used and is left out (unknown format).",
    )


def test_end_that_is_missing_within_tolerance_is_told(tmp_path: Path) -> None:
    clip = write_video(
        tmp_path / "a.mp4",
        constant(300, 30),
        options={"preset": "ultrafast", "bf": "0"},
        container_options={"movflags": "faststart"},
    )
    with av.open(str(clip)) as container:
        packets = container.demux(video=0)
        cut = next(p.pos for p in packets if p.pts is not None and p.pts * p.time_base >= 9.4)
    clip.write_bytes(clip.read_bytes()[:cut])
    assert probed(clip).warnings == ("The last 0.6 s of the video are missing from the file.",)


@pytest.mark.parametrize(
    ("said", "language"),
    [("deu", "deu"), ("pt-BR", "pt-BR"), ('e"n', "und"), ("", "und"), ("toolonglanguage", "und")],
)
def test_language_of_the_sound(tmp_path: Path, said: str, language: str) -> None:
    clip = tmp_path / "a.mka"
    with av.open(str(clip), "w") as output:
        stream = output.add_stream("flac", rate=48_000, layout="mono")
        stream.metadata["language"] = said
        frame = AudioFrame(format="s16", layout="mono", samples=4608)
        frame.sample_rate, frame.pts = 48_000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    plan = planned(clip)
    assert plan.audio is not None
    assert plan.audio.language == language


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flac"])
def test_cut_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    if name == "a.flac":
        clip = write_audio(tmp_path / name, [(Fraction(0), tone(48_000 * 20))], codec="flac")
    else:
        clip = write_video(
            tmp_path / name,
            constant(600, 30),
            codec="mpeg4" if name == "a.avi" else "libx264",
            time_base=Fraction(1, 30),
            container_options={"movflags": "faststart"} if name == "a.mp4" else None,
        )
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * share)])
    failed = refusal(clip)
    assert failed.failure.code == "truncated"
    assert "cut short" in failed.failure.message


def test_file_without_its_index_is_refused(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", constant(60, 30))
    clip.write_bytes(clip.read_bytes()[:-2000])
    assert refusal(clip).failure.code == "not_media"


def test_only_subtitles_are_refused(tmp_path: Path) -> None:
    srt = tmp_path / "a.srt"
    srt.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    clip = tmp_path / "a.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(srt), "-c", "copy", str(clip)]
    subprocess.run(command, check=True)
    failed = refusal(clip)
    assert failed.failure.code == "no_streams"
    assert "subtitle" in failed.failure.message


def test_default_stream_is_preferred(tmp_path: Path) -> None:
    small = write_video(tmp_path / "s.mkv", constant(30, 30), size=(160, 90))
    large = write_video(tmp_path / "l.mkv", constant(30, 30), size=(320, 180))
    clip = tmp_path / "both.mkv"
    for default in (0, 1):
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(small), "-i", str(large)]
        command += ["-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition:v", "0"]
        command += [f"-disposition:v:{default}", "default", str(clip)]
        subprocess.run(command, check=True)
        result = probed(clip)
        assert result.video is not None
        assert result.video.stream_index == default


def test_size_is_bounded(tmp_path: Path) -> None:
    clip = write_video(
        tmp_path / "wide.mkv", constant(1, 1), codec="mjpeg", size=(8200, 32), pix_fmt="yuvj420p"
    )
    assert refusal(clip).failure.code == "too_large"
    clip = write_video(
        tmp_path / "tiny.mkv", constant(3, 1), size=(8, 8), options={"preset": "ultrafast"}
    )
    assert refusal(clip).failure.code == "too_small"


def gray_png(side: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + side) * side), level=1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("declared_side", [8000, 320])
def test_picture_is_measured_before_it_is_decoded(tmp_path: Path, declared_side: int) -> None:
    """64 MB a picture, and sixteen of them were kept."""
    clip = tmp_path / "large.mov"
    data = gray_png(8000)
    with av.open(str(clip), "w") as output:
        stream = output.add_stream("png", rate=5)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = declared_side
        stream.pix_fmt = "gray"
        for number in range(20):
            packet = Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 5)
            packet.pts = packet.dts = number
            output.mux(packet)
    assert refusal(clip).failure.code == "too_large"
    assert peak_growth(refused_probe, LocalFile(str(clip))) < 32 << 20


def test_length_is_bounded(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1), Fraction(25 * 3600)]
    clip = write_video(tmp_path / "long.mkv", times, time_base=Fraction(1, 1000))
    assert refusal(clip).failure.code == "too_long"


def test_length_that_no_such_file_can_have_is_refused(tmp_path: Path) -> None:
    times = [*constant(30, 30), Fraction(20 * 3600)]
    clip = write_video(tmp_path / "held.mkv", times, time_base=Fraction(1, 1000))
    assert refusal(clip).failure.code == "broken_timestamps"
