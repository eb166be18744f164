"""The clips in tests/media, by what has to become of them."""

from collections.abc import Callable
from pathlib import Path

CLIPS = Path(__file__).parents[1] / "media"
ALL = sorted(path.name for path in CLIPS.iterdir() if path.suffix not in {".md", ".py"})
BAD = ["bad-bitstream.webm", "bad-corrupted.mp4"]
PLAYABLE = [name for name in ALL if name not in BAD]  # of the damaged ones, what is left

Uploaded = Callable[[str], str]  # the id of a clip's title
