"""Run by test_sqlite.py on a disk of 1 MiB: what a catalog says and keeps when it is full."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Unavailable
from tests.stores.catalog.titles import asset


async def main(place: Path) -> None:
    catalog = SqliteCatalog(place / "catalog.db")
    kept = 0
    try:
        while True:
            await catalog.create(replace(asset(f"m{kept}"), description="x" * 10_000))
            kept += 1
    except Unavailable as exc:
        print(exc)
    await catalog.close()
    catalog = SqliteCatalog(place / "catalog.db")
    for number in range(kept):
        await catalog.get(f"m{number}")
    await catalog.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
