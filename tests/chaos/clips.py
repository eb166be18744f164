"""Small clips to upload, made by FFmpeg, and damaged ones."""

import random
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

MADE = {
    "picture-and-sound": "-f lavfi -i testsrc2=s=160x90:r=25:d=8 -f lavfi -i sine=440:d=8:r=48000"
    " -c:v libx264 -preset ultrafast -g 50 -c:a aac -shortest",
    "longer": "-f lavfi -i testsrc2=s=192x108:r=30:d=21 -f lavfi -i sine=220:d=21:r=44100"
    " -c:v libx264 -preset ultrafast -g 90 -c:a aac -shortest",
    "picture": "-f lavfi -i testsrc=s=160x120:r=24:d=5 -c:v libx264 -preset ultrafast -g 48",
    "sound": "-f lavfi -i sine=330:d=9:r=48000 -c:a aac",
}
HEAVY_BYTES = 12 << 20


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    path: Path
    is_playable: bool = True
    failures: frozenset[str] = frozenset()  # codes, one of which an unplayable one fails with


def make_clips(directory: Path) -> list[Clip]:
    """The playable ones."""
    clips = []
    for name, options in MADE.items():
        path = directory / f"{name}.mp4"
        command = ["ffmpeg", "-v", "error", "-y", *shlex.split(options), "-bitexact"]
        # The index first: a file that is cut short still has it.
        command += ["-movflags", "+faststart", str(path)]
        subprocess.run(command, check=True, timeout=60)
        clips.append(Clip(name, path))
    return clips


def make_heavy(directory: Path, playable: Clip) -> Clip:
    """As large as what is uploaded in parts, and no longer to encode: the rest is a free box."""
    path = directory / "heavy.mp4"
    free = (8 + HEAVY_BYTES).to_bytes(4, "big") + b"free" + bytes(HEAVY_BYTES)
    path.write_bytes(playable.path.read_bytes() + free)
    return Clip("heavy", path)


def make_damaged(directory: Path, playable: Clip) -> list[Clip]:
    """Noise, a file that is cut short, and one that is spoilt in the middle: refused by the probe
    and by tasks that others of the title have gone before."""
    whole = playable.path.read_bytes()
    noise = random.Random(1).randbytes(len(whole))
    third = len(whole) // 3
    return [
        _damaged(directory / "noise.mp4", noise, "not_media"),
        _damaged(directory / "short.mp4", whole[: 2 * third], "truncated"),
        _damaged(
            directory / "spoilt.mp4",
            whole[:third] + noise[third : 2 * third] + whole[2 * third :],
            *("undecodable", "damaged", "truncated"),
        ),
    ]


def _damaged(path: Path, data: bytes, *codes: str) -> Clip:
    path.write_bytes(data)
    return Clip(path.stem, path, False, frozenset(codes))
