"""Sources made at test time. Each picture carries its number as a pattern of bits."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

BITS = (4, 8)  # rows and columns of blocks, the lowest bit first
BLACK, WHITE = 40, 210


def picture(number: int, width: int = 320, height: int = 180) -> VideoFrame:
    blocks = np.array([[number >> (8 * row + column) & 1 for column in range(8)] for row in (0, 1)])
    pattern = np.repeat(blocks, 2, axis=0)
    rows = np.arange(height) * BITS[0] // height
    columns = np.arange(width) * BITS[1] // width
    luma = np.where(pattern[np.ix_(rows, columns)] == 1, WHITE, BLACK).astype(np.uint8)
    frame = VideoFrame(width, height, "gray")
    plane = frame.planes[0]
    padded = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
    padded[:height, :width] = luma
    plane.update(padded.tobytes())
    return frame


def number_of(frame: VideoFrame) -> int:
    gray = frame.to_ndarray(format="gray")
    height, width = gray.shape
    number = 0
    for row in (0, 1):
        for column in range(8):
            y, x = (4 * row + 2) * height // 8, (2 * column + 1) * width // 16
            number |= int(gray[y, x] > (BLACK + WHITE) // 2) << (8 * row + column)
    return number


def tone(samples: int, start: int = 0, *, rate: int = 48_000, hz: float = 440.0) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * hz * (start + np.arange(samples)) / rate)


def write_video(
    path: Path,
    times_s: Sequence[Fraction],
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (320, 180),
    container_options: Mapping[str, str] | None = None,
    audio: Sequence[tuple[Fraction, np.ndarray]] = (),
    audio_codec: str = "aac",
    audio_rate: int = 48_000,
    time_base: Fraction = Fraction(1, 90_000),
    numbers: Sequence[int] | None = None,
    display_matrix: Sequence[int] | None = None,
) -> Path:
    """One numbered picture per time, and runs of mono sound, each at its time."""
    with av.open(str(path), "w", options=dict(container_options or {})) as output:
        stream = output.add_stream(codec, rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        stream.options = dict(options or {})
        stream.set_display_matrix(display_matrix)
        sound = output.add_stream(audio_codec, rate=audio_rate, layout="mono") if audio else None
        assert sound is None or isinstance(sound, AudioStream)
        for number, time in zip(numbers or range(len(times_s)), times_s, strict=True):
            frame = picture(number, *size).reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(time / time_base), time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            for heard in _sound_frames(audio, audio_rate):
                output.mux(sound.encode(heard))
            output.mux(sound.encode(None))
    return path


def write_audio(
    path: Path, runs: Sequence[tuple[Fraction, np.ndarray]], *, codec: str, rate: int = 48_000
) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, AudioStream)
        for frame in _sound_frames(runs, rate):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _sound_frames(runs: Sequence[tuple[Fraction, np.ndarray]], rate: int) -> Iterable[AudioFrame]:
    for start, samples in runs:
        for offset in range(0, len(samples), 1024):
            part = samples[offset : offset + 1024].astype(np.float32)[np.newaxis]
            frame = AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate = rate
            frame.pts = round(start * rate) + offset
            frame.time_base = Fraction(1, rate)
            yield frame


def constant(count: int, rate: Fraction | int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + Fraction(n) / rate for n in range(count)]
