"""The clips in tests/media, by what has to become of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

CLIPS = Path(__file__).parents[1] / "media"
ALL = sorted(path.name for path in CLIPS.iterdir() if path.suffix not in {".md", ".py"})
BAD = ["bad-bitstream.webm", "bad-corrupted.mp4"]
LONG = "long-362s-1080p30.mp4"  # six minutes, whose encoding takes as long as all other clips
MINUTE = "minute-1080p30.mp4"  # its first, made for the run
PLAYABLE = [  # of the damaged ones, what is left
    *(name for name in ALL if name not in {*BAD, LONG}),
    MINUTE,
    pytest.param(LONG, marks=pytest.mark.long),
]

# The same transcoder makes the same packages whatever stores them, so that what differs over AWS is
# seen by one clip of each kind: with picture and sound, with one of them, of several tracks, bad.
ON_AWS = [
    "audio-only-cover.mp3",
    "bad-corrupted.mp4",
    "bbb-720p25-5.1.mp4",
    "nasa-2video-2audio-2subs.mp4",
    "odd-161x121-vp9.webm",
]

WATCHED = "bbb-720p24-30s-vp8-vorbis.webm"  # long enough to be watched for a while

Uploaded = Callable[[str], str]  # the id of a clip's title
