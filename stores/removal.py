"""Taking a title out of every store.

The status `deleting` comes first and the record goes last: whenever this dies in between, the
reconciler finds the title by its status and does it again.
"""

import asyncio
import contextlib

from media.asset import Asset, Status
from media.keys import media_prefix, source_key
from stores.errors import Conflict, Unavailable
from stores.jobs.base import Jobs, JobState
from stores.wiring import Stores

POLL_S = 0.05
STOP_TIMEOUT_S = 20  # above the lease of a worker that has died with one of the title's tasks


async def remove_title(stores: Stores, media_id: str) -> None:
    """Raises NotFound, and Unavailable when a task would not stop; the title is not shown any
    more then, and the reconciler goes on."""
    with contextlib.suppress(Conflict):  # every status may go to deleting but deleting itself
        await stores.catalog.transition(media_id, Status.DELETING)
    await stop_work(stores.jobs, media_id)
    await stores.objects.delete(source_key(media_id))
    await stores.objects.delete_prefix(media_prefix(media_id))
    await stores.catalog.remove(media_id)


def is_abandoned(asset: Asset, now_ms: float) -> bool:
    """An upload that nobody is at any more."""
    return asset.status is Status.UPLOADING and asset.upload_expires_at_ms < now_ms


async def remove_abandoned(stores: Stores, upload: Asset) -> None:
    """As `remove_title`; raises Conflict if it has been renewed or confirmed meanwhile."""
    await stores.catalog.transition(upload.id, Status.DELETING, seen=upload)
    await remove_title(stores, upload.id)


async def stop_work(jobs: Jobs, media_id: str) -> None:
    """Ends with nothing of it running or waiting; raises Unavailable if that does not come soon.
    Nothing may be written once the objects are deleted."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await jobs.cancel(media_id)
            while await jobs.state(media_id) is not JobState.MISSING:
                await asyncio.sleep(POLL_S)
                await jobs.cancel(media_id)
    except TimeoutError as exc:
        raise Unavailable(
            f"work on {media_id} did not stop within {STOP_TIMEOUT_S} s; it is removed later"
        ) from exc
