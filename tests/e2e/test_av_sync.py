"""Picture and sound stay together: a flash and a beep at the same moments, measured after the
whole way through the service, by FFmpeg's HLS client."""

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from tests.e2e.configurations import ONE_INSTALL
from tests.e2e.service import Service

pytestmark = ONE_INSTALL

MARKS_S = (1, 3, 5, 7, 9, 11, 13, 15, 17)
LENGTH_S = 18
TOLERANCE_S = 0.020  # the promise to the viewer


def make_flash_and_beep(path: Path, rate: str, audio_delay_s: float) -> None:
    """White flashes of two frames and 1 kHz beeps of 66 ms at every mark. With a delay the
    audio track starts that much later; its beeps stay where they are."""
    flash = "+".join(f"between(t,{mark}-0.001,{mark}+0.065)" for mark in MARKS_S)
    video = f"color=black:s=320x180:r={rate}:d={LENGTH_S},drawbox=c=white:t=fill:enable='{flash}'"
    beep = "+".join(f"between(t,{mark},{mark}+0.066)" for mark in MARKS_S)
    sound = f"aevalsrc='0.8*sin(2*PI*1000*t)*({beep})':s=48000:d={LENGTH_S}"
    sound += f",atrim=start={audio_delay_s},asetpts=PTS-STARTPTS"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", video]
    command += ["-itsoffset", str(audio_delay_s), "-f", "lavfi", "-i", sound]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest", str(path)]
    subprocess.run(command, check=True, timeout=120)


def flashes_s(url: str) -> list[float]:
    """Presentation time of each first white picture."""
    found, was_white = [], False
    with av.open(url) as container:
        for frame in container.decode(container.streams.video[0]):
            is_white = float(frame.to_ndarray(format="gray").mean()) > 128
            if is_white and not was_white:
                assert frame.time is not None
                found.append(frame.time)
            was_white = is_white
    return found


def beeps_s(url: str) -> list[float]:
    """Presentation time of each first loud sample."""
    found: list[float] = []
    with av.open(url) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(axis=0) > 0.2)
            if loud.size and frame.time is not None:
                time_s = frame.time + int(loud[0]) / frame.sample_rate
                if not found or time_s - found[-1] > 1:
                    found.append(time_s)
    return found


def offsets_s(url: str) -> list[float]:
    """Picture minus sound at every mark."""
    flashes, beeps = flashes_s(url), beeps_s(url)
    assert len(flashes) == len(beeps) == len(MARKS_S)
    return [flash - beep for flash, beep in zip(flashes, beeps, strict=True)]


@pytest.mark.parametrize(
    ("rate", "audio_delay_s"), [("30", 0.0), ("24000/1001", 0.0), ("25", 0.3), ("60000/1001", 0.0)]
)
def test_flash_and_beep_stay_together(
    rate: str, audio_delay_s: float, service: Service, tmp_path: Path
) -> None:
    clip = tmp_path / "flash.mp4"
    make_flash_and_beep(clip, rate, audio_delay_s)
    title = service.wait(service.upload(clip))
    assert title["status"] == "ready", title["error"]
    before = offsets_s(str(clip))  # a flash waits for the next picture: up to a frame
    after = offsets_s(service.playback_url(title["id"]))
    moved = [b - a for a, b in zip(before, after, strict=True)]
    print(
        f"{rate} fps, sound {audio_delay_s} s late: moved by", *(f"{1000 * m:+.1f}" for m in moved)
    )
    assert max(map(abs, moved)) < TOLERANCE_S
