"""The clips in tests/media, by what has to become of them."""

from collections.abc import Callable
from pathlib import Path

CLIPS = Path(__file__).parents[1] / "media"
ALL = sorted(path.name for path in CLIPS.iterdir() if path.suffix not in {".md", ".py"})
BAD = ["bad-bitstream.webm", "bad-corrupted.mp4"]
PLAYABLE = [name for name in ALL if name not in BAD]  # of the damaged ones, what is left

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
