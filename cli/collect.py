"""Shows what the collector removes, or would remove, as it finds it."""

import asyncio

from rich.console import Console

from media.settings import Settings
from stores.collect import collect as find
from stores.wiring import open_stores


def collect(settings: Settings, console: Console, *, dry_run: bool) -> None:
    """Raises Unavailable."""
    count = asyncio.run(_collect(settings, console, dry_run))
    if not count:
        console.print("nothing to remove")
        return
    done = "would be removed; nothing was" if dry_run else "removed"
    console.print(f"{count} {done}", highlight=False)


async def _collect(settings: Settings, console: Console, dry_run: bool) -> int:
    count = 0
    async with open_stores(settings) as stores:
        async for finding in find(stores, dry_run=dry_run):
            count += 1
            line = f"{finding.what}: {finding.why}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return count
