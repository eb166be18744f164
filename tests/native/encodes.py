"""Packets out of libx264 and libav's AAC encoder, made at test time."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

WIDTH, HEIGHT = 320, 180
AAC_FRAME_SAMPLES = 1024


@dataclass(frozen=True)
class Encoded:
    """Packets in decode order, and what the encoder says of them."""

    extradata: bytes
    packets: list["av.Packet[Any]"]


def encode_video(
    frame_count: int, *, rate: Fraction, gop: int, pix_fmt: str = "yuv420p", **options: str
) -> Encoded:
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, pix_fmt
    codec.framerate, codec.time_base, codec.gop_size = rate, 1 / rate, gop
    codec.thread_count = 1
    codec.flags |= Flags.global_header | Flags.closed_gop
    codec.options = {"preset": "veryfast", "bf": "2", "sc_threshold": "0"} | options
    packets: list[av.Packet[Any]] = []
    for frame in _pictures(frame_count, pix_fmt):
        frame.time_base = 1 / rate
        packets += codec.encode(frame)
    packets += codec.encode(None)
    assert codec.extradata is not None
    return Encoded(codec.extradata, packets)


def _pictures(count: int, pix_fmt: str) -> list[av.VideoFrame]:
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    frames = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * number, axis=1), format="rgb24")
        frame = frame.reformat(format=pix_fmt)
        frame.pts = number
        frames.append(frame)
    return frames


def encode_audio(frame_count: int, *, sample_rate: int = 48_000, layout: str = "stereo") -> Encoded:
    """AAC frames without the priming packet, so that the first of them is at pts 0."""
    codec = av.CodecContext.create("aac", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = sample_rate, layout, "fltp"
    codec.time_base = Fraction(1, sample_rate)
    codec.bit_rate = 128_000
    codec.flags |= Flags.global_header
    rng = np.random.default_rng(2)
    packets: list[av.Packet[Any]] = []
    for number in range(frame_count):
        channels = len(codec.layout.channels)
        noise = rng.normal(0, 0.1, (channels, AAC_FRAME_SAMPLES)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = sample_rate, number * AAC_FRAME_SAMPLES
        packets += codec.encode(frame)
    packets += codec.encode(None)
    assert codec.extradata is not None
    assert packets[0].pts == -AAC_FRAME_SAMPLES
    return Encoded(codec.extradata, packets[1:])
