"""Fetching what the cache does not hold: one read per object, however many wait for it."""

import asyncio
import gzip
import time
from pathlib import PurePosixPath
from urllib.parse import quote

from media.playlists import START_AT_BEGINNING
from native.origin import CachedObject, Core, Miss, Response, plain
from stores.errors import NotFound, Unavailable
from stores.objects.base import ObjectInfo, ObjectStore

MAX_READS = 64  # at once; each may hold a whole segment in memory
MAX_FETCHES = 1024  # reading, or waiting to read
MAX_WAITERS = 4096

PLAYLIST = ".m3u8"
CONTENT_TYPES = {
    PLAYLIST: "application/vnd.apple.mpegurl",
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
}
IMMUTABLE = "public, max-age=31536000, immutable"
FINAL = "public, max-age=60, s-maxage=86400, stale-while-revalidate=300, stale-if-error=86400"
FINAL_FOR_S = 60.0
IMMUTABLE_FOR_S = 600.0  # until it is asked for anew: a deleted title is gone by then
# A player reloads a growing playlist after half a segment at the earliest (RFC 8216bis 6.3.4).
GROWING = "public, max-age=1, s-maxage=1"
GROWING_FOR_S = 1.0

BUSY = plain(503, "too many requests are waiting: try again", "no-store", [("retry-after", "1")])
UNAVAILABLE = plain(
    503, "the object cannot be read now: try again", "no-store", [("retry-after", "1")]
)


class Filler:
    """Every fetch is a task of its own: a client that goes away does not take it along."""

    def __init__(self, core: Core, objects: ObjectStore) -> None:
        self._core = core
        self._objects = objects
        self._fetches: dict[str, asyncio.Task[CachedObject | Response]] = {}
        self._reads = asyncio.Semaphore(MAX_READS)
        self._waiters = 0
        self._purges = 0
        self._withheld: set[str] = set()

    async def fill(self, miss: Miss) -> Response:
        fetch = self._fetches.get(miss.key)
        if self._waiters >= MAX_WAITERS or (fetch is None and len(self._fetches) >= MAX_FETCHES):
            return BUSY
        if fetch is None:
            fetch = asyncio.create_task(self._fetch(miss.key))
            self._fetches[miss.key] = fetch
            fetch.add_done_callback(lambda _: self._fetches.pop(miss.key))
        self._waiters += 1
        try:
            found = await asyncio.shield(fetch)
        finally:
            self._waiters -= 1
        return found.respond(miss.request) if isinstance(found, CachedObject) else found

    def purge(self, prefix: str) -> int:
        """What is being fetched now was read before the purge, so it is answered but not kept."""
        self._purges += 1
        return self._core.objects.purge(prefix) + self._core.missing.purge(prefix)

    def withhold(self, prefix: str) -> None:
        """Answer as if nothing were below a title's prefix, whatever the store still holds."""
        self._withheld.add(prefix)
        self.purge(prefix)

    def release(self, prefix: str) -> None:
        self._withheld.discard(prefix)

    async def _fetch(self, key: str) -> CachedObject | Response:
        suffix = PurePosixPath(key).suffix
        if suffix not in CONTENT_TYPES or _title_prefix(key) in self._withheld:
            return self._core.remember_missing(key, time.time())
        try:
            async with self._reads:
                purges = self._purges
                body, info = await self._objects.get(key)
        except NotFound:
            return self._core.remember_missing(key, time.time())
        except Unavailable:
            return UNAVAILABLE
        found, kept_for_s = build(suffix, body, info)
        if purges == self._purges:
            self._core.objects.put(key, found, found.size, time.time() + kept_for_s)
        return found


def _title_prefix(key: str) -> str:
    kind, media_id, _ = key.split("/", 2)
    return f"{kind}/{media_id}/"


def build(suffix: str, body: bytes, info: ObjectInfo) -> tuple[CachedObject, float]:
    """The object to serve, and for how many seconds it may be kept."""
    etag = quote(info.etag, safe="")
    if suffix != PLAYLIST:
        return CachedObject(body, etag, CONTENT_TYPES[suffix], IMMUTABLE), IMMUTABLE_FOR_S
    growing = START_AT_BEGINNING.encode() in body
    found = CachedObject(
        body,
        etag,
        CONTENT_TYPES[suffix],
        GROWING if growing else FINAL,
        gzipped=gzip.compress(body, 6, mtime=0),
    )
    return found, GROWING_FOR_S if growing else FINAL_FOR_S
