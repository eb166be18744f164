"""Every object store, as the contract tests open it, also from other processes."""

from collections.abc import AsyncIterator, Callable
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
