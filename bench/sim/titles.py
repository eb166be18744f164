"""What there is to watch: packages as Headrace cuts and names them, and how popular they are."""

import itertools
import random
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from media.keys import INDEX, PACKAGES, PLAYLIST
from media.ladder import plan_audio_rungs, plan_ladder
from media.plan import FIRST_SEGMENT_S, GOP_S, segment_boundaries
from media.settings import DEFAULT_PROFILES, FfmpegSettings
from server.origin import fill

FRAME_RATE = 30
FULLNESS = 0.7  # of a rung's ceiling that an encode at constant quality uses on average
SPREAD = 0.25  # of the logarithms of segments' sizes
INIT_BYTES = 720
INDEX_BYTES = 900
PLAYLIST_HEAD_BYTES = 210
PLAYLIST_ENTRY_BYTES = 44  # EXTINF and a name
HASH = 16 * "0"

_VARIANT = re.compile(r"#EXT-X-STREAM-INF:BANDWIDTH=(\d+).*\n(.+)/")
_AUDIO = re.compile(r'#EXT-X-MEDIA:TYPE=AUDIO.*URI="(.+)/')
_MAP = re.compile(r'#EXT-X-MAP:URI="([^"]+)"')
_SEGMENT = re.compile(r"#EXTINF:([0-9.]+),\n(.+)")


@dataclass(frozen=True, slots=True)
class Track:
    """A rendition. Names are relative to the package: the key's part behind the version."""

    playlist: str
    init: str
    segments: tuple[str, ...]
    peak_bit_rate: int  # bit/s, what a player compares its throughput with


@dataclass(frozen=True)
class Package:
    starts_s: tuple[float, ...]  # of the segments, then the end
    rungs: tuple[Track, ...]  # lowest first
    audio: Track | None
    start_rung: int  # the first variant of the multivariant playlist
    sizes: Mapping[str, int]  # bytes of every object by its name


@dataclass(frozen=True, slots=True)
class Title:
    prefix: str  # v/<media>/<version>
    package: Package
    growing: bool = False  # still being encoded while it is watched


@dataclass(frozen=True, slots=True)
class Stored:
    bytes: int
    cache_control: str


@dataclass(frozen=True)
class Library:
    """Titles, the most popular first; popularity is Zipf's."""

    titles: Sequence[Title]
    zipf_exponent: float = 1.0

    @cached_property
    def _cumulated(self) -> list[float]:
        ranks = range(1, len(self.titles) + 1)
        return list(itertools.accumulate(rank**-self.zipf_exponent for rank in ranks))

    @cached_property
    def _by_prefix(self) -> dict[str, Title]:
        return {title.prefix: title for title in self.titles}

    def choose(self, choice: random.Random) -> Title:
        return self.titles[bisect(self._cumulated, choice.random() * self._cumulated[-1])]

    def stored(self, key: str) -> Stored:
        """The object and the Cache-Control that the origin sends with it."""
        kind, media_id, version, name = key.split("/", 3)
        title = self._by_prefix[f"{kind}/{media_id}/{version}"]
        return Stored(title.package.sizes[name], cache_control(name, growing=title.growing))


def cache_control(name: str, *, growing: bool) -> str:
    if not name.endswith(fill.PLAYLIST):
        return fill.IMMUTABLE
    return fill.GROWING if growing else fill.FINAL


def model_library(
    lengths_s: Mapping[int, float],
    titles: int,
    *,
    zipf_exponent: float = 1.0,
    growing_share: float = 0.0,
    seed: int = 1,
) -> Library:
    """Titles as they would be packaged; `lengths_s` says how common each length is. Titles of one
    length share a package: a cache sees their keys and sizes only."""
    choice = random.Random(seed)
    packages = [model_package(length_s) for length_s in lengths_s]
    chosen = choice.choices(packages, list(lengths_s.values()), k=titles)
    return Library(
        [
            Title(f"{PACKAGES}{rank:024x}/{0:012x}", package, choice.random() < growing_share)
            for rank, package in enumerate(chosen)
        ],
        zipf_exponent,
    )


def model_package(length_s: int) -> Package:
    """The default ladder of a 1080p source, on the real segment grid."""
    gops = int(FfmpegSettings().segmentduration.total_seconds()) // GOP_S
    frames = segment_boundaries(
        length_s * FRAME_RATE, first=FIRST_SEGMENT_S * FRAME_RATE, gop=GOP_S * FRAME_RATE, gops=gops
    )
    starts_s = tuple(frame / FRAME_RATE for frame in frames)
    video = [
        (rung.name, rung.max_bit_rate) for rung in plan_ladder(1920, 1080, DEFAULT_PROFILES)[::-1]
    ]
    (sound,) = plan_audio_rungs(2, DEFAULT_PROFILES, with_video=True)
    choice = random.Random(length_s)
    sizes = {INDEX: INDEX_BYTES}
    rungs = []
    for name, ceiling in video:
        rungs.append(_track(name, ceiling, starts_s))
        for segment, duration_s in zip(rungs[-1].segments, _durations(starts_s), strict=True):
            fullness = min(1.0, FULLNESS * choice.lognormvariate(0, SPREAD))
            sizes[segment] = int(fullness * ceiling * duration_s / 8)
    audio = _track(sound.name, sound.bit_rate, starts_s)
    for segment, duration_s in zip(audio.segments, _durations(starts_s), strict=True):
        sizes[segment] = int(sound.bit_rate * duration_s / 8)
    for track in [*rungs, audio]:
        sizes[track.init] = INIT_BYTES
        sizes[track.playlist] = PLAYLIST_HEAD_BYTES + PLAYLIST_ENTRY_BYTES * len(track.segments)
    return Package(starts_s, tuple(rungs), audio, 1, sizes)


def read_package(folder: Path) -> Package:
    """What Headrace has published below v/<media>/<version>."""
    index = (folder / INDEX).read_text()
    variants = {name: int(bit_rate) for bit_rate, name in _VARIANT.findall(index)}
    names = sorted(variants, key=variants.__getitem__)
    rungs = tuple(_read_track(folder, name, variants[name]) for name in names)
    found = _AUDIO.search(index)
    audio = _read_track(folder, found[1], 0) if found else None
    entries = _SEGMENT.findall((folder / rungs[0].playlist).read_text())
    starts_s = itertools.accumulate((float(duration_s) for duration_s, _ in entries), initial=0.0)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.suffix in fill.CONTENT_TYPES
    }
    start_rung = names.index(next(iter(variants)))
    return Package(tuple(starts_s), rungs, audio, start_rung, sizes)


def _track(name: str, bit_rate: int, starts_s: Sequence[float]) -> Track:
    segments = tuple(f"{name}/{n:05d}-{HASH}.m4s" for n in range(len(starts_s) - 1))
    return Track(f"{name}/{PLAYLIST}", f"{name}/init-{HASH}.mp4", segments, bit_rate)


def _durations(starts_s: Sequence[float]) -> list[float]:
    return [end - start for start, end in itertools.pairwise(starts_s)]


def _read_track(folder: Path, name: str, peak_bit_rate: int) -> Track:
    text = (folder / name / PLAYLIST).read_text()
    init = _MAP.search(text)
    assert init is not None, f"{folder / name}: a media playlist without EXT-X-MAP"
    segments = tuple(f"{name}/{uri}" for _, uri in _SEGMENT.findall(text))
    return Track(f"{name}/{PLAYLIST}", f"{name}/{init[1]}", segments, peak_bit_rate)
