import asyncio
import time
from collections.abc import Iterable

from media.settings import Settings
from native.cache import Cache, LruCache, S3FifoCache
from native.origin import CachedObject, Core, Miss, Request, Response
from native.token import TokenVerifier
from server.origin.disk import DiskCache
from server.origin.diskfiles import DiskFiles
from server.origin.fill import Filler
from server.origin.slow_readers import SlowReaders
from server.origin.stats import OriginStats
from server.tokens import TokenKeys
from stores.objects.base import ObjectStore

DISK_CACHE = "origin-cache"  # in the data directory
POLICIES: "dict[str, type[Cache[CachedObject]]]" = {"lru": LruCache, "s3fifo": S3FifoCache}
LARGEST_SHARE = 8  # an object above this fraction of the cache is passed through, not kept


class Origin:
    """What both shells serve; one per process and event loop."""

    def __init__(
        self,
        core: Core,
        filler: Filler,
        disk: DiskCache | None,
        slow_readers: SlowReaders,
    ) -> None:
        self.core = core
        self._filler = filler
        self._disk = disk
        self._slow_readers = slow_readers

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._slow_readers.start(loop)

    def respond(self, request: Request) -> Response | Miss:
        return self.core.respond(request, time.time())

    async def fill(self, miss: Miss) -> Response:
        response = await self._filler.fill(miss)
        return response.without_body() if miss.request.is_head else response

    def purge(self, prefix: str) -> int:
        """Forget every object below a prefix, so that it is read anew or found missing."""
        if self._disk is not None:
            self._disk.doubt()
        return self._filler.purge(prefix)

    def withhold(self, prefix: str) -> None:
        """Serve nothing below a title's prefix any more, until `release`."""
        self._filler.withhold(prefix)

    def release(self, prefix: str) -> None:
        if self._disk is not None:
            self._disk.doubt()
        self._filler.release(prefix)

    async def close(self) -> None:
        if self._disk is not None:
            await self._disk.close()

    def stats(self) -> OriginStats:
        objects, counts = self.core.objects, self._filler.counts
        disk = self._disk
        return OriginStats(
            hits=objects.hits - self.core.not_fresh + counts.prefetch_uses,
            misses=objects.misses + self.core.not_fresh - counts.prefetch_uses,
            evictions=objects.evictions,
            rejections=objects.rejections,
            refusals=self.core.refusals,
            not_found=self.core.missing.hits + counts.not_found,
            waits=counts.waits,
            stale=counts.stale,
            busy=counts.busy,
            unavailable=counts.unavailable,
            prefetches=counts.prefetches,
            prefetch_uses=counts.prefetch_uses + counts.prefetch_joins,
            disk_hits=disk.hits if disk else 0,
            disk_writes=disk.files.counts.writes if disk else 0,
            disk_evictions=disk.files.counts.evictions if disk else 0,
            disk_damaged=disk.files.counts.damaged if disk else 0,
            disk_errors=disk.errors if disk else 0,
            slow_readers=self._slow_readers.cut,
            fetches=self._filler.fetches,
            entries=len(objects),
            bytes=objects.bytes,
        )


def create_origin(
    objects: ObjectStore, keys: TokenKeys, settings: Settings, *, beside: Iterable[str] = ()
) -> Origin:
    """`beside`: paths that the shell answers itself; they come as a Miss."""
    budget_bytes = int(settings.origin.cache)
    core = Core(
        TokenVerifier(keys.by_kid()),
        budget_bytes,
        budget_bytes // LARGEST_SHARE,
        policy=POLICIES[settings.origin.cachepolicy],
        secrets=[secret.get_secret_value() for secret in settings.origin.secrets],
        beside=beside,
    )
    is_far = settings.aws.s3rawbucket is not None
    disk = None
    if settings.origin.diskcache:
        files = DiskFiles(settings.data.dir / DISK_CACHE, int(settings.origin.diskcache))
        disk = DiskCache(files, objects)
    read = objects.get if disk is None else disk.get
    filler = Filler(core, read, prefetch=is_far and settings.origin.prefetch)
    server = settings.server
    slow_readers = SlowReaders(server.port, server.readtimeout.total_seconds())
    return Origin(core, filler, disk, slow_readers)
