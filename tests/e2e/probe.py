"""FFmpeg's command line as the second reader of what we wrote."""

import json
import shlex
import subprocess
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=256)
def stream_facts(media: bytes) -> dict[str, Any]:
    """ffprobe's view of the only stream."""
    result = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", "-i", "pipe:0"],
        input=media,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert not result.stderr, result.stderr
    (stream,) = json.loads(result.stdout)["streams"]
    assert isinstance(stream, dict)
    return stream


@lru_cache(maxsize=256)
def decoded_frames(media: bytes) -> int:
    """How many frames decode; fails on any error or warning of the decoder."""
    result = subprocess.run(
        shlex.split(
            "ffmpeg -v warning -xerror -err_detect explode -i pipe:0"
            " -f framecrc -fps_mode passthrough -c:a pcm_s16le -"
        ),
        input=media,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0 and not result.stderr, result.stderr.decode()
    lines = result.stdout.decode().splitlines()
    return sum(not line.startswith("#") for line in lines)
