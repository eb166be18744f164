"""Viewing sessions as a list of requests, one per line: `<time s> <viewer> <edge> <key>`.

A viewer joins a title (multivariant playlist; media playlists, init segments; segments), starts at
the first variant, fills the player's buffer, then fetches as fast as it plays; switches rungs with
its throughput, seeks, pauses, leaves, and goes on to another title. Audiences are steady from the
first second: the sessions of the first viewers began before it.
"""

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.sim.titles import Library, Title, Track
from media.keys import INDEX

BUFFER_S = 30.0
MEDIAN_THROUGHPUT = 10e6  # bit/s; log-normal over viewers
THROUGHPUT_SPREAD = 0.8
THROUGHPUT_WOBBLE = 0.15  # from segment to segment
SAFETY = 0.7  # a rung is chosen when this part of the throughput carries it
BROWSING_SHARE = 0.3  # of the sessions are given up soon
MEAN_BROWSING_S = 30.0
MEAN_WATCH_S = 1500.0  # of the others, at most to the end of the title
SEEK_CHANCE = 0.02  # per segment
PAUSE_CHANCE = 0.01
MEAN_PAUSE_S = 60.0
MEAN_BREAK_S = 5.0  # between two titles
RELOAD_S = 3.0  # of a growing playlist: half a segment
MEAN_SESSION_S = 600.0  # roughly; that long before the trace the first viewers joined


class Request(NamedTuple):
    time_s: float
    viewer: int
    edge: int
    key: str


@dataclass(frozen=True, slots=True)
class Audience:
    viewers: int  # at any time
    edges: int = 1  # a viewer stays at one
    seed: int = 1


def requests(library: Library, audience: Audience, duration_s: float) -> Iterator[Request]:
    """In order of time, from 0 to `duration_s`."""
    viewers = (_viewer(library, audience, number) for number in range(audience.viewers))
    for request in heapq.merge(*viewers):
        if request.time_s >= duration_s:
            return
        if request.time_s >= 0:
            yield request


def _viewer(library: Library, audience: Audience, number: int) -> Iterator[Request]:
    choice = random.Random(f"{audience.seed}/{number}")
    edge = choice.randrange(audience.edges)
    now_s = -MEAN_SESSION_S * choice.random()
    while True:
        player = Player(library.choose(choice), now_s, choice)
        for time_s, key in player.play():
            yield Request(time_s, number, edge, key)
        now_s = player.now_s + choice.expovariate(1 / MEAN_BREAK_S)


class Player:
    """One session, its requests in order of time; it ends at `now_s`."""

    def __init__(self, title: Title, start_s: float, choice: random.Random) -> None:
        self.now_s = start_s
        self._title = title
        self._package = title.package
        self._choice = choice
        self._throughput = MEDIAN_THROUGHPUT * choice.lognormvariate(0, THROUGHPUT_SPREAD)
        browsing = choice.random() < BROWSING_SHARE
        self._leaves_s = start_s + choice.expovariate(
            1 / (MEAN_BROWSING_S if browsing else MEAN_WATCH_S)
        )
        self._plays_s = start_s  # when media time 0 was played, had there been no seek
        self._reload_s = start_s + RELOAD_S
        self._fetched: set[str] = set()  # a browser keeps what it was told is immutable

    def play(self) -> Iterator[tuple[float, str]]:
        package = self._package
        rung, number = package.start_rung, 0
        last = len(package.starts_s) - 1
        yield self.now_s, f"{self._title.prefix}/{INDEX}"
        while number < last and self.now_s < self._leaves_s:
            tracks = [package.rungs[rung]] + ([package.audio] if package.audio else [])
            for track in tracks:
                yield from self._fetch(track, number)
            number += 1
            if self._choice.random() < SEEK_CHANCE:
                number = self._choice.randrange(last)
                self._plays_s = self.now_s - package.starts_s[number]
            yield from self._wait(package.starts_s[number], tracks)
            rung = self._next_rung()
        if number == last:
            self.now_s = max(self.now_s, self._plays_s + package.starts_s[last])

    def _fetch(self, track: Track, number: int) -> Iterator[tuple[float, str]]:
        for name in (track.playlist, track.init, track.segments[number]):
            if name not in self._fetched:
                yield self.now_s, f"{self._title.prefix}/{name}"
                self.now_s += self._package.sizes[name] * 8 / self._throughput
                self._fetched.add(name)

    def _wait(self, buffered_to_s: float, tracks: list[Track]) -> Iterator[tuple[float, str]]:
        """Until the buffer has room again; a growing title's playlists are loaded meanwhile."""
        if self._choice.random() < PAUSE_CHANCE:
            pause_s = self._choice.expovariate(1 / MEAN_PAUSE_S)
            self._plays_s += pause_s
            self._leaves_s += pause_s
        stalled_s = self.now_s - self._plays_s - buffered_to_s
        self._plays_s += max(0.0, stalled_s)
        until_s = min(max(self.now_s, self._plays_s + buffered_to_s - BUFFER_S), self._leaves_s)
        while self._title.growing and self._reload_s < until_s:
            self.now_s = max(self.now_s, self._reload_s)
            for track in tracks:
                yield self.now_s, f"{self._title.prefix}/{track.playlist}"
            self._reload_s = self.now_s + RELOAD_S
        self.now_s = max(self.now_s, until_s)

    def _next_rung(self) -> int:
        usable = SAFETY * self._throughput * self._choice.lognormvariate(0, THROUGHPUT_WOBBLE)
        fitting = sum(track.peak_bit_rate <= usable for track in self._package.rungs)
        return max(0, fitting - 1)


def write_trace(path: Path, trace: Iterable[Request]) -> None:
    with path.open("w") as file:
        file.writelines(f"{r.time_s:.3f} {r.viewer} {r.edge} {r.key}\n" for r in trace)


def read_trace(path: Path) -> Iterator[Request]:
    with path.open() as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if len(fields) != 4:
                raise ValueError(
                    f"{path}, line {number}: expected '<time s> <viewer> <edge> <key>', "
                    f"got {line[:100]!r}"
                )
            yield Request(float(fields[0]), int(fields[1]), int(fields[2]), fields[3])
