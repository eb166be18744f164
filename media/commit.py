"""What a worker reports of finished segments: read back from the muxed bytes, not hoped for."""

from collections.abc import Iterable
from dataclasses import dataclass

VIDEO, AUDIO = "video", "audio"  # the kinds of commits
TASK_DIGITS = 5  # enough for the longest title: six-second segments of a week


def task_name(kind: str, number: int) -> str:
    """Of the commit of one segment number; sorts by number within `video` and `audio`."""
    return f"{kind}-{number:0{TASK_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """One stored segment. Times are ticks of its rendition's timescale."""

    number: int
    name: str
    decode_time: int  # tfdt
    duration: int  # sum of the trun's sample durations
    size: int  # bytes, styp to the end of mdat
    sample_count: int
    starts_with_idr: bool  # True for audio: each AAC frame is a sync sample


@dataclass(frozen=True, slots=True)
class RenditionFacts:
    """A rendition's part of a commit; `init_name` and `codecs` agree over all its commits."""

    name: str
    init_name: str
    codecs: str  # RFC 6381, from the bitstream
    timescale: int
    segments: tuple[SegmentFacts, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """Finished segments of all renditions of one kind: of one number each, as workers commit.

    `task` is unique within a version (`video-00007`, `audio-00003`); the catalog accepts
    the first commit of a task and refuses every later one.
    """

    task: str
    renditions: tuple[RenditionFacts, ...]


def named_objects(prefix: str, commits: Iterable[Commit]) -> dict[str, int | None]:
    """Keys of what commits name, below their package's prefix, with the size where it is known."""
    named: dict[str, int | None] = {}
    for commit in commits:
        for rendition in commit.renditions:
            folder = f"{prefix}{rendition.name}/"
            named[folder + rendition.init_name] = None
            named |= {folder + segment.name: segment.size for segment in rendition.segments}
    return named
