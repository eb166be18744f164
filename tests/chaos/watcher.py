"""Looks at every published playlist all the time: it only grows, and names only what is there."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urljoin

from media.keys import INDEX, PLAYLIST, content_hash
from tests.chaos.playlist import MediaList, read_media_playlist, uris

PAUSE_S = 0.02
LOOKS_PER_LIST = 10
SAMPLE = 2  # of the objects seen before, read again with each look at a playlist
ENDED_SHARE = 0.1  # of the looks that an ended playlist gets
AGAIN_SHARE = 0.1  # of the looks at one that is growing, and has not grown
MAX_VIOLATIONS = 50

Read = Callable[[str], Awaitable[bytes | None]]  # None: there is no such object
Published = Callable[[], Awaitable[Sequence[tuple[str, str]]]]  # media id and key of playlists


class Unreadable(Exception):
    """Raised by a Read: the way to the object is troubled, which says nothing of the object."""


class Watcher:
    """Of one way to read objects: from the store itself, or through the origin."""

    def __init__(self, name: str, read: Read, is_doomed: Callable[[str], bool]) -> None:
        self.violations: list[str] = []
        self.looks = 0
        self.reads = 0
        self.troubles = 0
        self.name = name
        self._read = read
        self._is_doomed = is_doomed
        self._dice = random.Random(0)
        self._lists: dict[str, MediaList] = {}
        self._indexes: dict[str, frozenset[str]] = {}
        self._verified: dict[str, list[str]] = {}  # by playlist

    @property
    def playlists(self) -> int:
        return len(self._lists)

    async def watch(self, published: Published) -> None:
        """Growing playlists all the time, as what is taken back may be given again soon."""
        while True:
            keys = await published()
            growing = [(media_id, key) for media_id, key in keys if not self._has_ended(key)]
            for media_id, key in keys:
                if self._has_ended(key) and self._dice.random() < ENDED_SHARE:
                    await self.look(media_id, key)
            for _ in range(LOOKS_PER_LIST):
                for media_id, key in growing:
                    await self.look(media_id, key)
                await asyncio.sleep(PAUSE_S)

    def _has_ended(self, key: str) -> bool:
        return key in self._lists and self._lists[key].has_ended

    async def look(self, media_id: str, key: str) -> None:
        """At one playlist, by its key, at what it names."""
        try:
            await self._look(media_id, key)
        except Unreadable:
            self.troubles += 1

    async def _look(self, media_id: str, key: str) -> None:
        text = await self._read(key)
        if text is None:
            if key in self._lists or key in self._indexes:
                self._complain(media_id, f"{key} has gone")
            return
        self.looks += 1
        if key.endswith(f"/{PLAYLIST}"):
            await self._look_at_media(media_id, key, read_media_playlist(text.decode()))
        elif key.endswith(f"/{INDEX}"):
            await self._look_at_index(media_id, key, text.decode())

    async def _look_at_index(self, media_id: str, key: str, text: str) -> None:
        named = frozenset(urljoin(key, uri) for uri in uris(text))
        before = self._indexes.setdefault(key, named)
        if named != before:
            self._complain(media_id, f"{key} named {sorted(before)} and now {sorted(named)}")
        for playlist in named - self._lists.keys():
            found = await self._read(playlist)
            if found is None:
                self._complain(media_id, f"{key} names {playlist}, which is not there")
            elif not read_media_playlist(found.decode()).segments:
                self._complain(media_id, f"{key} names {playlist}, which is empty")

    async def _look_at_media(self, media_id: str, key: str, now: MediaList) -> None:
        before = self._lists.get(key)
        if before is not None and not now.extends(before):
            self._complain(media_id, f"{key} went from {before} to {now}")
            return
        if not now.is_numbered_from_zero():
            self._complain(media_id, f"{key} has gaps: {now}")
        self._lists[key] = now
        verified = self._verified.setdefault(key, [])
        names = [name for name in now.objects() if name not in verified]
        if names or now.has_ended or self._dice.random() < AGAIN_SHARE:
            names += self._dice.sample(verified, min(SAMPLE, len(verified)))
        for name in names:
            if await self._verify(media_id, key, urljoin(key, name)) and name not in verified:
                verified.append(name)

    async def _verify(self, media_id: str, playlist: str, key: str) -> bool:
        data = await self._read(key)
        self.reads += 1
        if data is None:
            self._complain(media_id, f"{playlist} names {key}, which is not there")
            return False
        if not data or content_hash(data) not in key:
            self._complain(media_id, f"{key} has {len(data)} other bytes than its name says")
            return False
        return True

    def _complain(self, media_id: str, what: str) -> None:
        """A title that is being deleted may vanish in any order."""
        if not self._is_doomed(media_id) and len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(f"{self.name}: {what}")
