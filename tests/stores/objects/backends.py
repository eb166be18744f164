"""Every object store, as the contract tests open it, also from other processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from media.settings import AwsSettings
from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects

OBJECT_STORES = ("filesystem", "s3")


@dataclass(frozen=True)
class ObjectBackend:
    """A place of the test's own: a directory, or two buckets."""

    place: Path | AwsSettings

    @property
    def is_s3(self) -> bool:
        return isinstance(self.place, AwsSettings)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ObjectStore]:
        store = _opened(self.place)
        try:
            yield store
        finally:
            await store.close()

    def run(self, body: Callable[[ObjectStore], Coroutine[None, None, None]]) -> None:
        async def opened() -> None:
            async with self.open() as store:
                await body(store)

        asyncio.run(opened())


def _opened(place: Path | AwsSettings) -> ObjectStore:
    if isinstance(place, Path):
        return FilesystemObjects(place)
    # Takes most of a second: processes that race over files start without it.
    from stores.objects.s3 import S3Objects  # noqa: PLC0415

    return S3Objects(place)


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([info.key async for info in store.list(prefix)])
