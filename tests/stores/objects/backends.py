"""Every object store, as the contract tests open it, also from other processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects

OBJECT_STORES: dict[str, Callable[[Path], ObjectStore]] = {"filesystem": FilesystemObjects}


@dataclass(frozen=True)
class ObjectBackend:
    """`place` is a name of the test's own; what it means is the backend's business."""

    name: str
    place: Path

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ObjectStore]:
        store = OBJECT_STORES[self.name](self.place)
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
