"""What a player reads of HLS playlists (RFC 8216), as far as this harness plays them."""

import re
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urljoin

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


class NotAPlaylist(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Variant:
    url: str
    bandwidth: int  # bits per second, of all its tracks
    height: int | None
    audio_url: str | None  # None: the variant has all there is


@dataclass(frozen=True, slots=True)
class Segment:
    url: str
    init_url: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    segments: list[Segment]
    target_duration_s: float
    ended: bool

    @property
    def duration_s(self) -> float:
        return self.segments[-1].end_s if self.segments else 0.0

    @property
    def last_s(self) -> float:
        """How long the last segment is."""
        last = self.segments[-1:]
        return last[0].end_s - last[0].start_s if last else 0.0

    def segment_at(self, time_s: float) -> Segment | None:
        """The one that holds this time, or the first after it; boundaries are rounded in EXTINF."""
        return next((one for one in self.segments if one.end_s > time_s + 0.01), None)


def parse_multivariant(text: str, url: str) -> list[Variant]:
    """By bandwidth. Raises NotAPlaylist."""
    lines = _lines(text)
    audio = {
        attributes["GROUP-ID"]: urljoin(url, attributes["URI"])
        for attributes in map(_attributes, lines)
        if attributes.get("TYPE") == "AUDIO" and "URI" in attributes
    }
    variants = []
    for head, uri in pairwise(lines):
        if not head.startswith("#EXT-X-STREAM-INF:"):
            continue
        attributes = _attributes(head)
        _, _, height = attributes.get("RESOLUTION", "").partition("x")
        variants.append(
            Variant(
                urljoin(url, uri),
                int(attributes["BANDWIDTH"]),
                int(height) if height else None,
                audio.get(attributes.get("AUDIO", "")),
            )
        )
    if not variants:
        raise NotAPlaylist(f"{url} lists no variants")
    return sorted(variants, key=lambda variant: variant.bandwidth)


def parse_media(text: str, url: str) -> MediaPlaylist:
    """Raises NotAPlaylist."""
    segments: list[Segment] = []
    init_url, duration_s, start_s, target_s = "", 0.0, 0.0, 0.0
    for line in _lines(text):
        if line.startswith("#EXT-X-MAP:"):
            init_url = urljoin(url, _attributes(line)["URI"])
        elif line.startswith("#EXT-X-TARGETDURATION:"):
            target_s = float(line.partition(":")[2])
        elif line.startswith("#EXTINF:"):
            duration_s = float(line.partition(":")[2].partition(",")[0])
        elif not line.startswith("#"):
            end_s = start_s + duration_s
            segments.append(Segment(urljoin(url, line), init_url, start_s, end_s))
            start_s = end_s
    if target_s <= 0:
        raise NotAPlaylist(f"{url} has no target duration")
    return MediaPlaylist(segments, target_s, "#EXT-X-ENDLIST" in text)


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise NotAPlaylist(f"expected #EXTM3U, got {text[:40]!r}")
    return lines


def _attributes(line: str) -> dict[str, str]:
    tag, _, attributes = line.partition(":")
    if tag not in ("#EXT-X-STREAM-INF", "#EXT-X-MEDIA", "#EXT-X-MAP"):
        return {}
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(attributes)}
