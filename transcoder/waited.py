"""How long the owner of a title has waited for it."""

import time

from media.asset import Asset
from media.event import PROGRESS_STEPS, EventKind
from stores.catalog.base import Catalog

RECENT = PROGRESS_STEPS + 10  # events: more than one run of a title has


async def since_queued_s(catalog: Catalog, asset: Asset) -> float | None:
    """Since its upload ended, or it was last tried again; None if its log does not tell."""
    now_ms = time.time() * 1000
    after = max(0, asset.events - RECENT)
    recent = await catalog.events(asset.id, after=after, limit=RECENT)
    queued_ms = [event.at_ms for event in recent if event.kind is EventKind.QUEUED]
    return max(0.0, now_ms - queued_ms[-1]) / 1000 if queued_ms else None
