"""Every catalog, as the contract tests open it, also from other processes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from media.settings import AwsSettings
from stores.catalog.base import Catalog
from stores.catalog.dynamodb import DynamoCatalog
from stores.catalog.sqlite import SqliteCatalog

NAMES = ("dynamodb", "sqlite")


@dataclass(frozen=True)
class CatalogBackend:
    """`place` is a name of the test's own: of a file, or of a table at `endpoint`."""

    name: str
    place: Path
    endpoint: str | None = None
    webhooks: bool = True

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Catalog]:
        catalog = self.catalog()
        try:
            await catalog.create_storage()
            yield catalog
        finally:
            await catalog.close()

    def catalog(self) -> Catalog:
        if self.name == "sqlite":
            return SqliteCatalog(self.place, webhooks=self.webhooks)
        aws = AwsSettings(dynamodbendpoint=self.endpoint)
        return DynamoCatalog(self.table, aws, webhooks=self.webhooks)

    @property
    def table(self) -> str:
        return hashlib.sha256(bytes(self.place)).hexdigest()[:32]

    def another(self, number: int) -> "CatalogBackend":
        return replace(self, place=self.place.with_name(f"catalog-{number}"))

    def run(self, body: Callable[[Catalog], Coroutine[None, None, None]]) -> None:
        async def opened() -> None:
            async with self.open() as catalog:
                await body(catalog)

        asyncio.run(opened())
