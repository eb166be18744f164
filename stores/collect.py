"""Finds and removes what nobody will ever ask for again.

    staged files, multipart uploads    that a writer which died has left
    uploads                            that were never finished
    source/<media>, v/<media>/         of a title without a record
    v/<media>/<version>/               of another version than the record's
    v/<media>/<version>/.../<object>   that no commit names

It is safe while everything else runs. A title's record is made before its first object and goes
after its last one: what was listed before, and has no record after, belongs to nobody. Its events
show that the title was this catalog's; what has none may be another's, whose objects somebody has
configured by mistake, and only goes where most belongs to titles that are there. Of titles
with a record only those that are ready or have failed are looked at, and only when their record
has not changed for an hour: nothing is being written for them by anybody who still may. A ready
title never changes again; the record of a failed one, which may be tried again, is read once more
before each few objects that are deleted.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from media.asset import Asset, Status
from media.commit import named_objects
from media.keys import (
    INDEX,
    PACKAGES,
    PLAYLIST,
    SOURCES,
    media_prefix,
    package_prefix,
    source_key,
)
from media.plan import Plan
from media.publish import plan_rungs
from stores.errors import Conflict, NotFound, Unavailable
from stores.objects.base import ObjectStore
from stores.removal import is_abandoned, remove_abandoned
from stores.wiring import Stores

SETTLED_AFTER_S = 3600.0
_SETTLED = frozenset({Status.READY, Status.FAILED})
PARALLEL_DELETIONS = 16
MOST_STRAYS = 10_000  # kept in memory; the next run finds the others


@dataclass(frozen=True, slots=True)
class Finding:
    what: str  # a key, a prefix of keys, or what else its store calls it
    why: str


async def collect(
    stores: Stores, *, dry_run: bool, settled_after_s: float = SETTLED_AFTER_S
) -> AsyncIterator[Finding]:
    """Yields what was removed, or would be. Raises Unavailable, also when the catalog does not
    seem to be the one of these objects."""
    for name in await stores.objects.sweep(dry_run=dry_run):
        yield Finding(name, "whoever wrote it is gone")
    collector = _Collector(stores, dry_run, settled_after_s)
    async for finding in collector.uploads():
        yield finding
    await collector.look_at_sources()
    async for finding in collector.packages():
        yield finding
    async for finding in collector.strays():
        yield finding


class _Collector:
    def __init__(self, stores: Stores, dry_run: bool, settled_after_s: float) -> None:
        self._stores = stores
        self._dry_run = dry_run
        self._settled_after_ms = settled_after_s * 1000
        self._known = 0
        self._strays: list[str] = []  # keys and prefixes of titles that were removed
        self._strangers: list[str] = []  # and of titles that the catalog does not remember

    async def uploads(self) -> AsyncIterator[Finding]:
        now_ms = time.time() * 1000
        for asset in await self._stores.catalog.list_by_status([Status.UPLOADING]):
            if is_abandoned(asset, now_ms) and await self._removed(asset):
                yield Finding(source_key(asset.id), "its upload was never finished")

    async def _removed(self, upload: Asset) -> bool:
        if self._dry_run:
            return True
        try:
            await remove_abandoned(self._stores, upload)
        except (Conflict, NotFound):  # its client came back, or somebody else removed it
            return False
        return True

    async def look_at_sources(self) -> None:
        async for info in self._stores.objects.list(SOURCES):
            await self._record(info.key.removeprefix(SOURCES), info.key)

    async def packages(self) -> AsyncIterator[Finding]:
        async for media_id, counts in _packages(self._stores.objects):
            asset = await self._record(media_id, media_prefix(media_id))
            if asset is None or not self._is_settled(asset):
                continue
            for version, count in counts.items():
                for key in await self._unwanted(asset, version, count):
                    yield Finding(key, f"title {media_id} does not name it")

    async def strays(self) -> AsyncIterator[Finding]:
        async for finding in self._removals(self._strays):
            yield finding
        if len(self._strangers) > self._known and not self._dry_run:
            raise Unavailable(
                f"{len(self._strangers)} keys and prefixes belong to no title that the catalog "
                f"remembers, {self._known} to one that it has: it is hardly the catalog of these "
                "objects, so none of them was removed; correct the settings, or remove the objects "
                "by hand"
            )
        async for finding in self._removals(self._strangers):
            yield finding

    async def _removals(self, places: Sequence[str]) -> AsyncIterator[Finding]:
        for place in places:
            if not self._dry_run and place.endswith("/"):
                await self._stores.objects.delete_prefix(place)
            elif not self._dry_run:
                await self._stores.objects.delete(place)
            yield Finding(place, "it belongs to no title")

    async def _record(self, media_id: str, place: str) -> Asset | None:
        try:
            asset = await self._stores.catalog.get(media_id)
        except NotFound:
            remembered = await self._stores.catalog.events(media_id, limit=1)
            places = self._strays if remembered else self._strangers
            if len(places) < MOST_STRAYS:
                places.append(place)
            return None
        self._known += 1
        return asset

    def _is_settled(self, asset: Asset) -> bool:
        """Nothing becomes of it any more by itself."""
        age_ms = time.time() * 1000 - asset.updated_at_ms
        return asset.status in _SETTLED and age_ms >= self._settled_after_ms

    async def _unwanted(self, asset: Asset, version: str, count: int) -> list[str]:
        """Keys of one version's objects; removed unless this is a dry run."""
        prefix = package_prefix(asset.id, version)
        named: dict[str, int | None] = {}
        if version == asset.version:
            plan = await self._stores.catalog.get_plan(asset.id)
            if plan is None or (asset.status is Status.READY and count <= _object_count(plan)):
                return []
            named = named_objects(prefix, await self._stores.catalog.commits(asset.id, version))
        keys = [
            info.key
            async for info in self._stores.objects.list(prefix)
            if info.key not in named
            and not (version == asset.version and info.key.endswith((INDEX, PLAYLIST)))
        ]
        return keys if self._dry_run else await self._deleted(asset, keys)

    async def _deleted(self, asset: Asset, keys: Sequence[str]) -> list[str]:
        """Those that were, until the title began to change."""
        done: list[str] = []
        for start in range(0, len(keys), PARALLEL_DELETIONS):
            try:
                now = await self._stores.catalog.get(asset.id)
            except NotFound:
                break
            if now.updated_at_ms != asset.updated_at_ms:
                break
            some = keys[start : start + PARALLEL_DELETIONS]
            await asyncio.gather(*map(self._stores.objects.delete, some))
            done += some
        return done


async def _packages(objects: ObjectStore) -> AsyncIterator[tuple[str, Counter[str]]]:
    """How many objects each version of a title has, title by title: no store mixes them."""
    current, counts = "", Counter[str]()
    async for info in objects.list(PACKAGES):
        media_id, version, *rest = info.key.removeprefix(PACKAGES).split("/")
        if not rest:
            continue  # not of this service
        if media_id != current and counts:
            yield current, counts
            counts = Counter()
        current = media_id
        counts[version] += 1
    if counts:
        yield current, counts


def _object_count(plan: Plan) -> int:
    """Of a ready package: segments, an init segment and a playlist per rendition, and the
    multivariant playlist. The join has seen all of them, so that no more means no others."""
    return len(plan_rungs(plan)) * (plan.segment_count + 2) + 1
