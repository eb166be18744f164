"""Real encodes through our writer, read by other people's demuxers and decoders."""

import hashlib
import io
import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import pytest

from native import h264, mux, reader
from tests.native import reference_mp4 as reference
from tests.native.encodes import (
    AAC_FRAME_SAMPLES,
    HEIGHT,
    WIDTH,
    Encoded,
    encode_audio,
    encode_video,
)

GOP_FRAMES = 30
FRAME_COUNT = 75
SEGMENT_STARTS = (0, 30, 60)


@dataclass(frozen=True)
class Rendition:
    init: bytes
    segments: list[bytes]

    @property
    def file(self) -> bytes:
        return self.init + b"".join(self.segments)


@dataclass(frozen=True)
class Clock:
    rate: Fraction
    timescale: int

    @property
    def frame_ticks(self) -> int:
        ticks = self.timescale / self.rate
        assert ticks.denominator == 1
        return int(ticks)


CLOCKS = [
    Clock(Fraction(25), 90_000),
    Clock(Fraction(30_000, 1001), 30_000),
    Clock(Fraction(24_000, 1001), 24_000),
]
VIDEO_CASES = [(clock, bf) for clock in CLOCKS for bf in (2, 0)]
video_cases = pytest.mark.parametrize(("clock", "bf"), VIDEO_CASES)


@lru_cache
def _video(clock: Clock, bf: int) -> tuple[Encoded, Rendition]:
    encoded = encode_video(FRAME_COUNT, rate=clock.rate, gop=GOP_FRAMES, bf=str(bf))
    ticks = clock.frame_ticks
    rows = []
    for packet in encoded.packets:
        assert packet.pts is not None
        assert packet.dts is not None
        rows.append((packet, ticks, (packet.pts - packet.dts) * ticks, packet.is_keyframe))
    init = mux.video_init(
        timescale=clock.timescale,
        width=WIDTH,
        height=HEIGHT,
        avcc=h264.avc_config(encoded.extradata),
        media_time=rows[0][2],
        colour=(1, 1, 1, False),
    )
    segments = [
        mux.segment(
            rows[start : start + GOP_FRAMES],
            sequence_number=number,
            base_media_decode_time=start * ticks,
            annexb=True,
        )
        for number, start in enumerate(SEGMENT_STARTS)
    ]
    return encoded, Rendition(init, segments)


@lru_cache
def _audio(sample_rate: int, layout: str) -> tuple[Encoded, Rendition]:
    encoded = encode_audio(FRAME_COUNT, sample_rate=sample_rate, layout=layout)
    channels = av.AudioLayout(layout).nb_channels
    init = mux.audio_init(
        timescale=sample_rate, channels=channels, asc=encoded.extradata, bit_rate=128_000
    )
    segments = [
        mux.segment(
            [(p, AAC_FRAME_SAMPLES, 0, True) for p in encoded.packets[start : start + GOP_FRAMES]],
            sequence_number=number,
            base_media_decode_time=start * AAC_FRAME_SAMPLES,
        )
        for number, start in enumerate(SEGMENT_STARTS)
    ]
    return encoded, Rendition(init, segments)


def _picture_digests(file: bytes) -> list[str]:
    pictures = []
    with av.open(io.BytesIO(file), "r") as container:
        for frame in container.decode(container.streams.video[0]):
            assert not frame.is_corrupt
            pictures.append(hashlib.blake2b(frame.to_ndarray().tobytes()).hexdigest())
    return pictures


@video_cases
def test_video_packets_come_back(clock: Clock, bf: int) -> None:
    encoded, rendition = _video(clock, bf)
    with av.open(io.BytesIO(rendition.file), "r") as container:
        stream = container.streams.video[0]
        assert stream.time_base == Fraction(1, clock.timescale)
        assert (stream.width, stream.height) == (WIDTH, HEIGHT)
        assert stream.codec_context.extradata == h264.avc_config(encoded.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert len(packets) == FRAME_COUNT
    for packet, source in zip(packets, encoded.packets, strict=True):
        assert source.pts is not None
        assert source.dts is not None
        assert packet.pts == source.pts * clock.frame_ticks
        assert packet.dts == source.dts * clock.frame_ticks
        assert packet.duration == clock.frame_ticks
        assert packet.is_keyframe == source.is_keyframe
        assert bytes(packet) == reference.to_avcc(bytes(source))
    assert min(packet.pts or 0 for packet in packets) == 0


@video_cases
def test_video_segments_decode_alone_to_the_same_pictures(clock: Clock, bf: int) -> None:
    _, rendition = _video(clock, bf)
    alone = [
        digest
        for segment in rendition.segments
        for digest in _picture_digests(rendition.init + segment)
    ]
    assert len(set(alone)) == FRAME_COUNT
    assert alone == _picture_digests(rendition.file)


@video_cases
def test_reader_agrees_on_video(clock: Clock, bf: int) -> None:
    encoded, rendition = _video(clock, bf)
    init = reader.read_init(rendition.init)
    ticks = clock.frame_ticks
    assert init.codecs == f"avc1.{h264.avc_config(encoded.extradata)[1:4].hex()}"
    assert (init.timescale, init.width, init.height) == (clock.timescale, WIDTH, HEIGHT)
    for number, (start, segment) in enumerate(zip(SEGMENT_STARTS, rendition.segments, strict=True)):
        info = reader.read_segment(segment, nal_length_size=init.nal_length_size)
        assert info.sequence_number == number
        assert info.decode_time == start * ticks
        assert info.presentation_start == start * ticks + init.media_time
        assert info.sample_count == min(GOP_FRAMES, FRAME_COUNT - start)
        assert info.duration == info.sample_count * ticks
        assert info.starts_with_idr
        assert info.sync_samples == info.idr_samples == (0,)


audio_cases = pytest.mark.parametrize(
    ("sample_rate", "layout"), [(48_000, "stereo"), (48_000, "5.1"), (44_100, "mono")]
)


@audio_cases
def test_audio_packets_come_back(sample_rate: int, layout: str) -> None:
    encoded, rendition = _audio(sample_rate, layout)
    with av.open(io.BytesIO(rendition.file), "r") as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.extradata == encoded.extradata
        assert (stream.sample_rate, stream.layout.name) == (sample_rate, layout)
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert [bytes(packet) for packet in packets] == [
        bytes(packet) for packet in encoded.packets[:FRAME_COUNT]
    ]
    times = [n * AAC_FRAME_SAMPLES for n in range(FRAME_COUNT)]
    assert [packet.pts for packet in packets] == times
    assert {packet.duration for packet in packets} == {AAC_FRAME_SAMPLES}


@audio_cases
def test_each_audio_segment_decodes_alone(sample_rate: int, layout: str) -> None:
    _, rendition = _audio(sample_rate, layout)
    for segment in rendition.segments:
        info = reader.read_segment(segment, nal_length_size=0)
        with av.open(io.BytesIO(rendition.init + segment), "r") as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples == info.duration == info.sample_count * AAC_FRAME_SAMPLES


@audio_cases
def test_reader_agrees_on_audio(sample_rate: int, layout: str) -> None:
    _, rendition = _audio(sample_rate, layout)
    info = reader.read_init(rendition.init)
    assert info.codecs == "mp4a.40.2"
    assert info.timescale == info.sample_rate == sample_rate
    assert info.channels == av.AudioLayout(layout).nb_channels


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_ffprobe_reads_the_file_from_time_zero(kind: str, tmp_path: Path) -> None:
    rendition = (_video(CLOCKS[0], 2) if kind == "video" else _audio(48_000, "stereo"))[1]
    path = tmp_path / "rendition.mp4"
    path.write_bytes(rendition.file)
    command = ["ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-count_frames"]
    result = subprocess.run([*command, str(path)], capture_output=True, check=True, text=True)
    assert result.stderr == ""
    (stream,) = json.loads(result.stdout)["streams"]
    assert stream["start_pts"] == 0
    assert int(stream["nb_read_frames"]) == FRAME_COUNT
    if kind == "video":
        assert stream["color_primaries"] == stream["color_transfer"] == "bt709"
        assert stream["color_range"] == "tv"
        assert stream["sample_aspect_ratio"] == "1:1"
        assert stream["r_frame_rate"] == "25/1"
