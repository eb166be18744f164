"""A published title as a client sees it: fetched over HTTP, read with the slow readers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from urllib.parse import urljoin

import httpx

from tests.e2e import boxes

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


def attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in ATTRIBUTE.findall(line.split(":", 1)[1])}


@dataclass(frozen=True)
class Segment:
    uri: str
    extinf: Fraction
    response: httpx.Response

    @cached_property
    def data(self) -> bytes:
        return self.response.content

    @cached_property
    def fragment(self) -> boxes.Fragment:
        return boxes.read_segment(self.data)


@dataclass(frozen=True)
class Rendition:
    """A media playlist with everything it names."""

    url: str
    response: httpx.Response
    init: bytes
    init_response: httpx.Response
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return self.response.text

    @cached_property
    def info(self) -> boxes.Init:
        return boxes.read_init(self.init)

    @property
    def is_video(self) -> bool:
        return self.info.handler == "vide"

    @property
    def target(self) -> int:
        return int(self.tag("#EXT-X-TARGETDURATION:"))

    @property
    def duration(self) -> Fraction:
        return sum((segment.extinf for segment in self.segments), Fraction(0))

    def tag(self, start: str) -> str:
        (line,) = (line for line in self.text.splitlines() if line.startswith(start))
        return line[len(start) :]

    def media(self) -> bytes:
        """The whole rendition as one fragmented MP4."""
        return self.init + b"".join(segment.data for segment in self.segments)

    def seconds(self, ticks: int) -> Fraction:
        return Fraction(ticks, self.info.timescale)


@dataclass(frozen=True)
class Package:
    url: str
    response: httpx.Response
    variants: tuple[tuple[dict[str, str], Rendition], ...]
    alternatives: tuple[tuple[dict[str, str], Rendition], ...]

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def renditions(self) -> list[Rendition]:
        return [rendition for _, rendition in (*self.variants, *self.alternatives)]

    @property
    def video(self) -> list[Rendition]:
        return [rendition for rendition in self.renditions if rendition.is_video]

    @property
    def audio(self) -> list[Rendition]:
        return [rendition for rendition in self.renditions if not rendition.is_video]

    def group(self, variant: dict[str, str]) -> list[Rendition]:
        """The alternative renditions that a variant plays with."""
        return [r for media, r in self.alternatives if media["GROUP-ID"] == variant.get("AUDIO")]


Get = Callable[[str], httpx.Response]


def fetch_package(url: str, get: Get) -> Package:
    response = get(url)
    lines = response.text.splitlines()
    variants = [
        (attributes(line), fetch_rendition(urljoin(url, lines[n + 1]), get))
        for n, line in enumerate(lines)
        if line.startswith("#EXT-X-STREAM-INF:")
    ]
    alternatives = [
        (attributes(line), fetch_rendition(urljoin(url, attributes(line)["URI"]), get))
        for line in lines
        if line.startswith("#EXT-X-MEDIA:")
    ]
    return Package(url, response, tuple(variants), tuple(alternatives))


def fetch_rendition(url: str, get: Get) -> Rendition:
    response = get(url)
    lines = response.text.splitlines()
    (map_line,) = (line for line in lines if line.startswith("#EXT-X-MAP:"))
    init_response = get(urljoin(url, attributes(map_line)["URI"]))
    segments = tuple(
        Segment(lines[n + 1], Fraction(line[8:].rstrip(",")), get(urljoin(url, lines[n + 1])))
        for n, line in enumerate(lines)
        if line.startswith("#EXTINF:")
    )
    return Rendition(url, response, init_response.content, init_response, segments)
