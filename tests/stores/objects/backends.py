"""Every object store, as the contract tests open it, also from other processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings
from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects
from stores.objects.s3 import S3Objects

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
        if isinstance(self.place, AwsSettings):
            store: ObjectStore = S3Objects(self.place)
        else:
            store = FilesystemObjects(self.place)
        try:
            yield store
        finally:
            await store.close()

    def run(self, body: Callable[[ObjectStore], Coroutine[None, None, None]]) -> None:
        async def opened() -> None:
            async with self.open() as store:
                await body(store)

        asyncio.run(opened())


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([info.key async for info in store.list(prefix)])


def aws_settings(server: AwsServer, name: str) -> AwsSettings:
    return AwsSettings(
        region=server.region,
        s3endpoint=server.endpoint,
        s3rawbucket=f"{name}-raw",
        s3processedbucket=f"{name}-processed",
    )


async def make_empty(aws: AwsSettings) -> None:
    """New buckets take SeaweedFS a while."""
    store = S3Objects(aws, abandoned_after=timedelta(seconds=-60))
    try:
        if not await store.create():
            for key in await keys(store):
                await store.delete(key)
            await store.sweep()
    finally:
        await store.close()
