"""Fetching what the cache does not hold, or not fresh: one read per object, however many wait."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from media.keys import named_hash
from media.playlists import START_AT_BEGINNING
from native.origin import CachedObject, Core, Miss, Response, plain
from server.origin.prefetch import next_segment
from stores.errors import NotFound, Unavailable
from stores.objects.base import ObjectInfo

MAX_READS = 64  # at once; each may hold a whole segment in memory
MAX_FETCHES = 1024  # reading, or waiting to read
MAX_WAITERS = 4096
MAX_AHEAD = 8  # reads of what nobody has asked for yet
PATIENCE_S = 10.0  # then a request is told to come again; the fetch goes on
PATIENCE_WITH_STALE_S = 1.0

PLAYLIST = ".m3u8"
CONTENT_TYPES = {
    PLAYLIST: "application/vnd.apple.mpegurl",
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
}
IMMUTABLE = "public, max-age=31536000, immutable"
FINAL = "public, max-age=60, s-maxage=86400, stale-while-revalidate=300, stale-if-error=86400"
# A player reloads a growing playlist after half a segment at the earliest (RFC 8216bis 6.3.4).
GROWING = "public, max-age=1, s-maxage=1"
STALE = "public, max-age=1"  # a CDN asks again soon, and meanwhile once for all its viewers

BUSY = plain(503, "too many requests are waiting: try again", "no-store", [("retry-after", "1")])
UNAVAILABLE = plain(
    503, "the object cannot be read now: try again", "no-store", [("retry-after", "1")]
)

Read = Callable[[str], Awaitable[tuple[bytes, ObjectInfo]]]  # as ObjectStore.get


@dataclass(frozen=True, slots=True)
class Life:
    fresh_s: float
    stale_s: float  # after that, while the store does not answer


FINAL_LIFE = Life(60, 86400)
IMMUTABLE_LIFE = Life(600, 86400)  # until it is asked for anew: a deleted title is gone by then
GROWING_LIFE = Life(1, 10)


@dataclass(slots=True)
class Counts:
    waits: int = 0  # requests that waited for a read which another had started
    not_found: int = 0
    busy: int = 0
    unavailable: int = 0
    stale: int = 0
    prefetches: int = 0
    prefetch_uses: int = 0
    prefetch_joins: int = 0  # uses before the read had ended, which were misses


class Filler:
    """Every fetch is a task of its own: a client that goes away does not take it along."""

    def __init__(self, core: Core, read: Read, *, prefetch: bool = False) -> None:
        self.counts = Counts()
        self._core = core
        self._read = read
        self._prefetch = prefetch
        self._fetches: dict[str, asyncio.Task[CachedObject | Response]] = {}
        self._ahead: set[str] = set()  # of the fetches, those that nobody has asked for yet
        self._reads = asyncio.Semaphore(MAX_READS)
        self._waiters = 0
        self._purges = 0
        self._withheld: set[str] = set()
        self._store_answers = True  # when it was last asked

    @property
    def fetches(self) -> int:
        return len(self._fetches)

    async def fill(self, miss: Miss) -> Response:
        kept = miss.kept
        if kept is not None and time.time() < kept.good_until_s:
            return self._first_use(kept, miss)
        found = await self._fetched(miss)
        if isinstance(found, CachedObject):
            self._look_ahead(miss.key)
            return found.respond(miss.request)
        if found.status == 503 and (last := self._core.objects.peek(miss.key)) is not None:
            self.counts.stale += 1  # had it been purged meanwhile, it would not be there
            return as_stale(last.respond(miss.request))
        self.counts.not_found += found.status == 404
        self.counts.busy += found is BUSY
        self.counts.unavailable += found is UNAVAILABLE
        return found

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

    def _first_use(self, kept: CachedObject, miss: Miss) -> Response:
        if kept.fresh_until_s < kept.good_until_s:
            kept.fresh_until_s = kept.good_until_s
            self.counts.prefetch_uses += 1
            self._look_ahead(miss.key)
        return kept.respond(miss.request)

    async def _fetched(self, miss: Miss) -> CachedObject | Response:
        """Whoever has something stale to fall back on does not wait long, and not at all once
        the store is known to be away; the fetch goes on and refreshes it for the next."""
        fetch = self._fetches.get(miss.key)
        if self._waiters >= MAX_WAITERS or (fetch is None and len(self._fetches) >= MAX_FETCHES):
            return BUSY
        if fetch is None:
            self._start(miss.key)
            fetch = self._fetches[miss.key]
        else:
            self.counts.waits += 1
            self._join(miss.key)
        patience_s = PATIENCE_S
        if miss.kept is not None:
            patience_s = PATIENCE_WITH_STALE_S if self._store_answers else 0
        self._waiters += 1
        try:
            await asyncio.wait([fetch], timeout=patience_s)
        finally:
            self._waiters -= 1
        return fetch.result() if fetch.done() else UNAVAILABLE

    def _start(self, key: str) -> None:
        fetch = asyncio.create_task(self._fetch(key))
        self._fetches[key] = fetch
        fetch.add_done_callback(lambda _: self._fetches.pop(key))

    def _join(self, key: str) -> None:
        if key in self._ahead:
            self._ahead.discard(key)
            self.counts.prefetch_joins += 1

    def _look_ahead(self, key: str) -> None:
        """Only while most reads are free, so that those who wait are not held up."""
        if not self._prefetch or len(self._ahead) >= MAX_AHEAD:
            return
        following = next_segment(self._core.objects, key)
        if following in self._fetches or len(self._fetches) >= MAX_READS // 2:
            return
        if following is not None:
            self.counts.prefetches += 1
            self._ahead.add(following)
            self._start(following)

    async def _fetch(self, key: str) -> CachedObject | Response:
        try:
            return await self._fetch_allowed(key)
        except NotFound:
            self._store_answers = True
            return self._core.remember_missing(key, time.time())
        except Unavailable:
            self._store_answers = False
            return UNAVAILABLE
        finally:
            self._ahead.discard(key)

    async def _fetch_allowed(self, key: str) -> CachedObject | Response:
        suffix = PurePosixPath(key).suffix
        if suffix not in CONTENT_TYPES or _title_prefix(key) in self._withheld:
            return self._core.remember_missing(key, time.time())
        async with self._reads:
            purges = self._purges
            body, info = await self._read(key)
        self._store_answers = True
        found, life = build(key, body, info)
        found.good_until_s = time.time() + life.fresh_s
        found.fresh_until_s = 0 if key in self._ahead else found.good_until_s
        if purges == self._purges:
            self._core.objects.put(key, found, found.size, found.good_until_s + life.stale_s)
        return found


def _title_prefix(key: str) -> str:
    kind, media_id, _ = key.split("/", 2)
    return f"{kind}/{media_id}/"


def build(key: str, body: bytes, info: ObjectInfo) -> tuple[CachedObject, Life]:
    """The object to serve, and how long. Its ETag is the hash in its name where there is one, so
    that all origins tell the same, wherever they have read it."""
    etag = named_hash(key) or quote(info.etag, safe="")
    suffix = PurePosixPath(key).suffix
    if suffix != PLAYLIST:
        return CachedObject(body, etag, CONTENT_TYPES[suffix], IMMUTABLE), IMMUTABLE_LIFE
    growing = START_AT_BEGINNING.encode() in body
    found = CachedObject(
        body,
        etag,
        CONTENT_TYPES[suffix],
        GROWING if growing else FINAL,
        gzipped=gzip.compress(body, 6, mtime=0),
    )
    return found, GROWING_LIFE if growing else FINAL_LIFE


def as_stale(response: Response) -> Response:
    headers = [
        (name, STALE if name == "cache-control" and value != "no-store" else value)
        for name, value in response.headers
    ]
    return Response(response.status, headers, response.body)
