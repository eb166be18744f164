"""A weighted sample of a catalogue's objects, and how often each is asked for at one edge.

Sessions of many viewers start independently and ask for an object about once. So the requests for
one object at one edge are a Poisson process, whose rate is that of its title's sessions times the
mean number of requests that a session makes for it. The latter is counted over sessions of the very
players that make the traces.

Which objects: titles are divided into strata of similar popularity, the most popular ones into
strata of their own. Of each stratum and length of title the index, playlists and init segments of
one title are taken, and one segment of each rendition for the first few, the next dozen and so on.
An object has the mean size and rate of all that it stands for (`weight`), takes their room in every
cache and counts for all their requests; so the sum of all requests is exact.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.sim.replay import shared_lifetime_s
from bench.sim.titles import Library, Package, Title, Track, cache_control
from bench.sim.trace import MEAN_BREAK_S, Player
from media.keys import INDEX

SESSIONS = 2000  # whose requests are counted, per kind of title
NARROWEST = 1.6  # ratio of a stratum's last rank to its first
LARGEST_STRATUM = 1 / 20  # of the titles
SEGMENT_GROUPS = (0, 4, 16, 64)  # first numbers; fewer and fewer viewers come to the later ones

Array = NDArray[np.float64]
Row = tuple[float, float, float, float]  # as in Sample
Kind = tuple[int, bool]  # identity of a package; still being encoded


@dataclass(frozen=True, slots=True)
class Watched:
    """Means over the sessions of one title."""

    requests: dict[str, float]  # by name within the package
    duration_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Arrays with one element per object."""

    rates: Array  # requests per second at one edge
    weights: Array
    sizes: Array  # bytes
    lifetimes_s: Array  # in shared caches

    @property
    def costs(self) -> Array:
        return self.weights * self.sizes

    def where(self, chosen: NDArray[np.bool_]) -> "Sample":
        return Sample(
            self.rates[chosen], self.weights[chosen], self.sizes[chosen], self.lifetimes_s[chosen]
        )


def watch(library: Library) -> dict[Kind, Watched]:
    """The slow part of `draw`, and the same for audiences of any size."""
    kinds = {_kind(title): title for title in library.titles}
    return {kind: _watch(title) for kind, title in kinds.items()}


def _kind(title: Title) -> Kind:
    return id(title.package), title.growing


def _watch(title: Title) -> Watched:
    choice = random.Random(title.package.starts_s[-1])
    requests = Counter[str]()
    duration_s = 0.0
    for _ in range(SESSIONS):
        player = Player(title, 0, choice)
        requests.update(key.removeprefix(f"{title.prefix}/") for _, key in player.play())
        duration_s += player.now_s
    return Watched(
        {name: count / SESSIONS for name, count in requests.items()}, duration_s / SESSIONS
    )


def draw(library: Library, watched: dict[Kind, Watched], viewers_per_edge: float) -> Sample:
    popularity = np.arange(1, len(library.titles) + 1) ** -library.zipf_exponent
    popularity /= popularity.sum()
    durations_s = np.array([watched[_kind(title)].duration_s for title in library.titles])
    starts = viewers_per_edge / (popularity @ durations_s + MEAN_BREAK_S) * popularity
    rows: list[Row] = []
    for first, last in _strata(len(library.titles)):
        ranks: dict[Kind, list[int]] = {}
        for rank in range(first, last):
            ranks.setdefault(_kind(library.titles[rank]), []).append(rank)
        for kind, alike in ranks.items():
            title = library.titles[alike[0]]
            rate = float(starts[alike].mean())
            rows += _rows(title, watched[kind].requests, rate, len(alike))
    return Sample(*np.array(rows).T)


def _rows(title: Title, requests: dict[str, float], rate: float, titles: int) -> Iterator[Row]:
    for names in _groups(title.package):
        lifetime_s = shared_lifetime_s(cache_control(names[0], growing=title.growing))
        asked = sum(requests.get(name, 0) for name in names) / len(names)
        size = sum(title.package.sizes[name] for name in names) / len(names)
        yield rate * asked, titles * len(names), size, lifetime_s


def _strata(titles: int) -> Iterator[tuple[int, int]]:
    first = 0
    while first < titles:
        width = min(max(1, int(first * (NARROWEST - 1))), max(1, int(titles * LARGEST_STRATUM)))
        yield first, min(first + width, titles)
        first += width


def _groups(package: Package) -> Iterator[Sequence[str]]:
    """Objects that are taken for alike."""
    tracks: list[Track] = [*package.rungs, *([package.audio] if package.audio else [])]
    yield [INDEX]
    for track in tracks:
        yield [track.playlist]
        yield [track.init]
        for first, last in itertools.pairwise((*SEGMENT_GROUPS, len(track.segments))):
            if group := track.segments[first:last]:
                yield group
