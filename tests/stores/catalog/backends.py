"""Every catalog, as the contract tests open it, also from other processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stores.catalog.base import Catalog
from stores.catalog.sqlite import SqliteCatalog

CATALOGS: dict[str, Callable[[Path], Catalog]] = {"sqlite": SqliteCatalog}


@dataclass(frozen=True)
class CatalogBackend:
    """`place` is a name of the test's own; what it means is the backend's business."""

    name: str
    place: Path

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Catalog]:
        catalog = CATALOGS[self.name](self.place)
        try:
            yield catalog
        finally:
            await catalog.close()

    def another(self, number: int) -> "CatalogBackend":
        return replace(self, place=self.place.with_name(f"catalog-{number}"))

    def run(self, body: Callable[[Catalog], Coroutine[None, None, None]]) -> None:
        async def opened() -> None:
            async with self.open() as catalog:
                await body(catalog)

        asyncio.run(opened())
