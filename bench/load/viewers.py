"""Viewers: each plays one title after the other, as a player does."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from locust import between, task

from bench.load.guest import Guest, options_of
from bench.load.playback import TARGET_BUFFER_S, Playhead, State, Throughput, choose
from bench.load.playlists import (
    MediaPlaylist,
    NotAPlaylist,
    Segment,
    Variant,
    parse_media,
    parse_multivariant,
)

MEAN_WATCH_S = 60.0
MEAN_BETWEEN_SEEKS_S = 45.0
MEAN_BETWEEN_PAUSES_S = 90.0
PAUSE_S = 3.0
ZIPF_EXPONENT = 1.0  # of the titles' popularity
SCREENS = {1080: 40, 720: 40, 480: 15, 360: 5}  # heights, and how many of a hundred have them
TICK_S = 0.5  # between two looks at a buffer that is full
LIST_LIMIT = 100


class GaveUp(Exception):
    """A request that the session cannot go on without was not answered well."""


@dataclass(slots=True)
class Track:
    """What is loaded of the picture or of the sound."""

    url: str  # of its media playlist
    name: str
    playlist: MediaPlaylist | None = None
    init_url: str = ""
    until_s: float = 0.0
    reload_at_s: float = 0.0

    @property
    def is_complete(self) -> bool:
        playlist = self.playlist
        if playlist is None or not playlist.ended:
            return False
        return playlist.segment_at(self.until_s) is None


@dataclass(slots=True)
class Plans:
    """When the viewer does what viewers do."""

    leave_at_s: float
    seek_at_s: float = field(default_factory=lambda: _in(MEAN_BETWEEN_SEEKS_S))
    pause_at_s: float = field(default_factory=lambda: _in(MEAN_BETWEEN_PAUSES_S))
    resume_at_s: float = 0.0


def _in(mean_s: float) -> float:
    return time.monotonic() + random.expovariate(1 / mean_s)


class Session:
    """One play of one title."""

    def __init__(self, guest: Guest, url: str, cmcd_url: str, plans: Plans) -> None:
        self._guest = guest
        self._url = url
        self._cmcd_url = cmcd_url
        self._plans = plans
        self._head = Playhead(time.monotonic())
        self._throughput = Throughput()
        self._screen = random.choices(list(SCREENS), list(SCREENS.values()))[0]
        self._variants: list[Variant] = []
        self._tracks: list[Track] = []

    def play(self) -> None:
        with self._told():
            self._open()
            while self._goes_on():
                self._behave()
                self._load_or_wait()

    def _goes_on(self) -> bool:
        now_s = time.monotonic()
        self._head.advance(now_s)
        over = self._head.state is State.ENDED or now_s >= self._plans.leave_at_s
        return not over and not self._guest.is_leaving

    def _open(self) -> None:
        self._variants = parse_multivariant(self._get(self._url, "playlist").decode(), self._url)
        first = choose(self._variants, self._throughput.bit_rate, self._screen)
        self._tracks = [Track(first.url, _rung_name(first))]
        if first.audio_url is not None:
            self._tracks.append(Track(first.audio_url, "audio"))

    def _behave(self) -> None:
        now_s, plans = time.monotonic(), self._plans
        if self._head.state is State.PAUSED and now_s >= plans.resume_at_s:
            self._head.resume(now_s)
        elif self._head.state is State.PLAYING and now_s >= plans.seek_at_s:
            plans.seek_at_s = _in(MEAN_BETWEEN_SEEKS_S)
            self._seek(random.uniform(0, min(map(_known_s, self._tracks))), now_s)
        elif self._head.state is State.PLAYING and now_s >= plans.pause_at_s:
            plans.pause_at_s = _in(MEAN_BETWEEN_PAUSES_S)
            plans.resume_at_s = now_s + PAUSE_S
            self._head.pause(now_s)

    def _seek(self, position_s: float, now_s: float) -> None:
        self._head.seek(position_s, now_s)
        for track in self._tracks:
            track.until_s = position_s

    def _load_or_wait(self) -> None:
        """The next segment of what has the least."""
        track = min(self._tracks, key=lambda one: (one.is_complete, one.until_s))
        full = track.until_s - self._head.position_s >= TARGET_BUFFER_S
        segment = None if full or track.is_complete else self._next_segment(track)
        if segment is None:
            self._append()
            time.sleep(TICK_S)
        else:
            self._fetch(track, segment)
            self._append()

    def _append(self) -> None:
        waiting = [track.until_s for track in self._tracks if not track.is_complete]
        until_s = min(waiting) if waiting else max(track.until_s for track in self._tracks)
        self._head.append(until_s, time.monotonic(), complete=not waiting)

    def _next_segment(self, track: Track) -> Segment | None:
        if track is self._tracks[0]:
            self._switch(track)
        playlist = track.playlist or self._reload(track)
        segment = playlist.segment_at(track.until_s)
        if segment is None and not playlist.ended and time.monotonic() >= track.reload_at_s:
            segment = self._reload(track).segment_at(track.until_s)
        return segment

    def _switch(self, track: Track) -> None:
        chosen = choose(self._variants, self._throughput.bit_rate, self._screen)
        if chosen.url != track.url:
            track.url, track.name, track.playlist = chosen.url, _rung_name(chosen), None

    def _reload(self, track: Track) -> MediaPlaylist:
        playlist = parse_media(self._get(track.url, "playlist").decode(), track.url)
        grew = track.playlist is None or playlist.duration_s > track.playlist.duration_s
        wait_s = playlist.last_s if grew else playlist.target_duration_s / 2  # as hls.js waits
        track.playlist, track.reload_at_s = playlist, time.monotonic() + wait_s
        return playlist

    def _fetch(self, track: Track, segment: Segment) -> None:
        if segment.init_url != track.init_url:
            self._get(segment.init_url, "init")
            track.init_url = segment.init_url
        started_s = time.monotonic()
        size = len(self._get(segment.url, f"segment {track.name}"))
        if track is self._tracks[0]:
            self._throughput.add(size, time.monotonic() - started_s)
        track.until_s = segment.end_s

    def _get(self, url: str, name: str) -> bytes:
        response = self._guest.ask("GET", url, name)
        if response is None or response.content is None:
            raise GaveUp(url)
        return bytes(response.content)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """However it ends: what the viewer saw."""
        try:
            yield
        except GaveUp:
            pass
        except NotAPlaylist as error:
            self._guest.tell("viewer", "playlist read", 0.0, error)
        finally:
            self._head.leave(time.monotonic())
            self._tell()
        self._report()

    def _tell(self) -> None:
        head, tell = self._head, self._guest.tell
        if head.startup_s is not None:
            tell("viewer", "start-up", head.startup_s * 1000)
        for rebuffering_s in head.rebufferings_s:
            tell("viewer", "rebuffering", rebuffering_s * 1000)
        tell("viewer", "played", head.played_s * 1000)

    def _report(self) -> None:
        """CMCD, as the player page sends it."""
        head = self._head
        if head.startup_s is None or not self._tracks:
            return
        bandwidth = next(v.bandwidth for v in self._variants if v.url == self._tracks[0].url)
        rebufferings = " ".join(str(round(one_s * 1000)) for one_s in head.rebufferings_s)
        line = (
            f"br=({bandwidth // 1000}),bsd=({rebufferings}),e=t,"
            f"headrace-played={round(head.played_s * 1000)},msd={round(head.startup_s * 1000)},v=2"
        )
        self._guest.ask("POST", self._cmcd_url, "/cmcd", expected=204, data=line)


def _rung_name(variant: Variant) -> str:
    """Of a ladder there are few."""
    return f"{variant.height}p" if variant.height else "audio"


def _known_s(track: Track) -> float:
    return track.playlist.duration_s if track.playlist else 0.0


class Viewer(Guest):
    """Gets what a site's backend would get for it, and plays."""

    wait_time = between(0.5, 2.0)

    @task
    def watch(self) -> None:
        user_id = options_of(self.environment).library
        listed = self.call("GET", f"/media?limit={LIST_LIMIT}", "/media", user_id)
        playable = [t["id"] for t in listed.json()["items"] if t["playable"]] if listed else []
        if not playable:
            return
        weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, len(playable) + 1)]
        (media_id,) = random.choices(sorted(playable), weights)
        play(self, media_id, user_id, Plans(leave_at_s=_in(MEAN_WATCH_S)))


def play(guest: Guest, media_id: str, user_id: str, plans: Plans) -> None:
    answer = guest.call("GET", f"/media/{media_id}/playback", "/media/{id}/playback", user_id)
    if answer is not None:
        playback = answer.json()
        Session(guest, playback["url"], playback["cmcd_url"], plans).play()
