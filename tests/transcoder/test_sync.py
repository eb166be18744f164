"""A flash and a beep, at the start and at the end, measured in the encoded package."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.transcoder.encoding import encoded_audio, encoded_video, joined, planned, samples
from tests.transcoder.sources import constant, tone, write_video

FLASH = 0xFFFF  # all blocks white
MARKS_S = (Fraction(1), Fraction(11))
LENGTH_S = 12
RATE = 48_000


def flash_and_beep(
    path: Path,
    *,
    rate: Fraction | int = 30,
    start: Fraction = Fraction(0),
    audio_delay: Fraction = Fraction(0),
    time_base: Fraction = Fraction(1, 90_000),
    audio_rate: int = RATE,
    codec: str = "libx264",
    audio_codec: str = "aac",
) -> Path:
    """Sound that begins `audio_delay` after the picture still beeps with the flashes."""
    times = constant(int(LENGTH_S * rate), rate)
    pictures = [
        FLASH if any(mark <= time < mark + Fraction(1, 10) for mark in MARKS_S) else 0
        for time in times
    ]
    sound = np.zeros(LENGTH_S * audio_rate)
    for mark in MARKS_S:
        first = int(mark * audio_rate)
        sound[first : first + audio_rate // 10] = tone(audio_rate // 10, rate=audio_rate, hz=1000)
    return write_video(
        path,
        [start + time for time in times],
        numbers=pictures,
        options={"preset": "ultrafast", "bf": "2", "g": "60", "b": "1M"},
        audio=[(start + audio_delay, sound[int(audio_delay * audio_rate) :])],
        audio_rate=audio_rate,
        time_base=time_base,
        codec=codec,
        audio_codec=audio_codec,
    )


SOURCES: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": flash_and_beep,
    "late-audio.mp4": lambda path: flash_and_beep(path, audio_delay=Fraction(3, 10)),
    "late-start.mkv": lambda path: flash_and_beep(
        path, start=Fraction(10), time_base=Fraction(1, 1000)
    ),
    "transport.ts": lambda path: flash_and_beep(path, start=Fraction(100)),
    "ntsc-44100.mp4": lambda path: flash_and_beep(
        path, rate=Fraction(30_000, 1001), audio_rate=44_100
    ),
    "old.avi": lambda path: flash_and_beep(
        path, codec="mpeg4", audio_codec="libmp3lame", time_base=Fraction(1, 30)
    ),
    "old.mpg": lambda path: flash_and_beep(
        path, codec="mpeg2video", audio_codec="mp2", time_base=Fraction(1, 30)
    ),
    "slow.mkv": lambda path: flash_and_beep(path, rate=10, time_base=Fraction(1, 1000)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_flash_and_beep_stay_together(tmp_path: Path, name: str) -> None:
    clip = SOURCES[name](tmp_path / name)
    plan = planned(clip)
    flashes = flash_times(joined(encoded_video(clip, plan), "90p"))
    beeps = beep_times(samples(encoded_audio(clip, plan), "audio"))
    assert len(flashes) == len(beeps) == len(MARKS_S)
    for flash, beep in zip(flashes, beeps, strict=True):
        assert abs(flash - beep) < 0.020, (flashes, beeps)


def flash_times(data: bytes) -> list[float]:
    with av.open(io.BytesIO(data), "r") as container:
        shown = [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="gray").mean() > 120)
            for frame in container.decode(video=0)
            if frame.pts is not None and frame.time_base is not None
        ]
    return [
        time for (time, lit), (_, was_lit) in zip(shown[1:], shown, strict=False) if lit > was_lit
    ]


def beep_times(sound: np.ndarray) -> list[float]:
    level = np.abs(sound) > 0.15
    starts = np.flatnonzero(level & ~np.roll(level, 1))
    first = [start for n, start in enumerate(starts) if n == 0 or start - starts[n - 1] > RATE]
    return [start / RATE for start in first]
