"""Playlists as the watcher reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_URI = re.compile(r'URI="([^"]*)"')


@dataclass(frozen=True, slots=True)
class MediaList:
    init: str
    segments: tuple[tuple[str, str], ...]  # EXTINF and name
    has_ended: bool

    def __str__(self) -> str:
        names = [name for _, name in self.segments]
        return f"{self.init}, {len(names)} segments to {names[-1:]}{', ended' * self.has_ended}"

    def extends(self, before: "MediaList") -> bool:
        """Nothing taken back, nothing changed."""
        return (
            self.init == before.init
            and self.segments[: len(before.segments)] == before.segments
            and (not before.has_ended or self == before)
        )

    def is_numbered_from_zero(self) -> bool:
        numbers = [int(name.partition("-")[0]) for _, name in self.segments]
        return numbers == list(range(len(numbers)))

    def objects(self) -> tuple[str, ...]:
        return (self.init, *(name for _, name in self.segments))


def read_media_playlist(text: str) -> MediaList:
    """Raises ValueError for what is none."""
    lines = text.splitlines()
    if not text.startswith("#EXTM3U\n") or not text.endswith("\n"):
        raise ValueError(f"not a whole playlist: {text!r}")
    (init,) = (
        uri for line in lines if line.startswith("#EXT-X-MAP:") for uri in _URI.findall(line)
    )
    segments = tuple(
        (line, lines[number + 1])
        for number, line in enumerate(lines)
        if line.startswith("#EXTINF:")
    )
    return MediaList(init, segments, "#EXT-X-ENDLIST" in lines)


def uris(text: str) -> Iterator[str]:
    """What a multivariant playlist names."""
    for line in text.splitlines():
        if line.startswith("#EXT-X-MEDIA:"):
            yield from _URI.findall(line)
        elif line and not line.startswith("#"):
            yield line
