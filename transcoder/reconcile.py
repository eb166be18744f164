"""The catalog is the truth: this brings the job engine, and half-done removals, in line with it."""

import time
from collections.abc import Awaitable, Callable

import structlog

from media.asset import UNFINISHED, Asset, Failure, Status
from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import JobState
from stores.removal import remove_title
from stores.wiring import Stores

log = structlog.stdlib.get_logger(__name__)


async def reconcile(stores: Stores) -> None:
    """At a worker's start and now and then; any number of workers may do it at once."""
    for asset in await stores.catalog.list_by_status([*UNFINISHED]):
        await _attempt(_resume, stores, asset)
    for asset in await stores.catalog.list_by_status([Status.DELETING]):
        await _attempt(_remove, stores, asset)
    now_ms = time.time() * 1000
    for asset in await stores.catalog.list_by_status([Status.UPLOADING]):
        if asset.upload_expires_at_ms < now_ms:
            log.info("removing an upload that was never finished", media=asset.id)
            await _attempt(_remove, stores, asset)
    await stores.objects.sweep()


async def _attempt(
    step: Callable[[Stores, Asset], Awaitable[None]], stores: Stores, asset: Asset
) -> None:
    """One title's trouble keeps none of the others waiting."""
    try:
        await step(stores, asset)
    except Unavailable as error:
        log.warning("title cannot be put in order yet", media=asset.id, reason=str(error))


async def _resume(stores: Stores, asset: Asset) -> None:
    state = await stores.jobs.state(asset.id)
    if state is JobState.FAILED:
        failure = await stores.jobs.failure(asset.id)
        await _fail(stores, asset, failure or LOST)
    elif state is not JobState.PENDING:
        log.info("title is unfinished and without a job", media=asset.id)
        await stores.jobs.enqueue(asset.id, asset.priority)


LOST = Failure("internal", "the work on this title failed for an unknown reason", retryable=True)


async def _fail(stores: Stores, asset: Asset, failure: Failure) -> None:
    try:
        await stores.catalog.transition(asset.id, Status.FAILED, {"error": failure})
    except (Conflict, NotFound):
        log.info("title changed while it was being failed", media=asset.id)


async def _remove(stores: Stores, asset: Asset) -> None:
    try:
        await remove_title(stores, asset.id)
    except NotFound:
        log.info("title was removed by somebody else", media=asset.id)
