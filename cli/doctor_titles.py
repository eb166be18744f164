"""Titles that the catalog calls ready and whose packages are gone: what a catalog has that was
restored from before they were deleted."""

import asyncio
from collections.abc import Iterator

from media.asset import Asset, Status
from media.keys import INDEX, package_prefix
from media.settings import Settings
from stores.errors import NotFound, Unavailable
from stores.objects.base import ObjectStore
from stores.trait import Trait
from stores.wiring import open_stores

PARALLEL = 32


def title_traits(settings: Settings) -> Iterator[Trait]:
    try:
        count, gone = asyncio.run(_gone(settings))
    except Unavailable as error:
        yield Trait("titles", False, "cannot be looked at", str(error))
        return
    for asset in gone:
        remedy = f"headrace media rm {asset.id} --user {asset.user_id}, or restore its objects"
        yield Trait(f"title {asset.id}", False, "ready, and its package is gone", remedy)
    yield Trait("titles", True, f"{count - len(gone)} of {count} that are ready have their package")


async def _gone(settings: Settings) -> tuple[int, list[Asset]]:
    gone: list[Asset] = []
    async with open_stores(settings) as stores:
        ready = await stores.catalog.list_by_status([Status.READY])
        for start in range(0, len(ready), PARALLEL):
            some = ready[start : start + PARALLEL]
            there = await asyncio.gather(*(_is_there(stores.objects, asset) for asset in some))
            gone += [asset for asset, found in zip(some, there, strict=True) if not found]
    return len(ready), gone


async def _is_there(objects: ObjectStore, asset: Asset) -> bool:
    assert asset.version is not None, asset.id  # of a title that is ready
    try:
        await objects.head(package_prefix(asset.id, asset.version) + INDEX)
    except NotFound:
        return False
    return True
