"""What a worker would do to a title's record, done from beside the server."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from media.asset import Status
from stores.catalog.sqlite import SqliteCatalog


def advance(
    data: Path, media_id: str, *steps: Status, changes: Mapping[str, object] | None = None
) -> None:
    """Through `steps` one by one, with `changes` at the last."""

    async def run() -> None:
        catalog = SqliteCatalog(data / "catalog.sqlite3")
        try:
            for step in steps:
                await catalog.transition(media_id, step, changes if step is steps[-1] else None)
        finally:
            await catalog.close()

    asyncio.run(run())
