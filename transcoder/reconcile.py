"""The catalog is the truth: this brings the job engine, and half-done removals, in line with it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from media.asset import UNFINISHED, Asset, Failure, Status
from stores import tracing
from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import JobState
from stores.removal import is_abandoned, remove_abandoned, remove_title
from stores.wiring import Stores

log = structlog.stdlib.get_logger(__name__)


PARALLEL = 32


async def reconcile(stores: Stores) -> None:
    """At a worker's start and now and then; any number of workers may do it at once."""
    catalog = stores.catalog
    await _each(_resume, stores, await catalog.list_by_status([*UNFINISHED]))
    await _each(_remove, stores, await catalog.list_by_status([Status.DELETING]))
    now_ms = time.time() * 1000
    uploading = await catalog.list_by_status([Status.UPLOADING])
    abandoned = [asset for asset in uploading if is_abandoned(asset, now_ms)]
    await _each(_abandon, stores, abandoned)
    await catalog.sweep()
    await stores.objects.sweep()


async def _each(
    step: Callable[[Stores, Asset], Awaitable[None]], stores: Stores, assets: Sequence[Asset]
) -> None:
    for start in range(0, len(assets), PARALLEL):
        async with asyncio.TaskGroup() as steps:
            for asset in assets[start : start + PARALLEL]:
                steps.create_task(_attempt(step, stores, asset))


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
        with tracing.span("resume", {tracing.MEDIA: asset.id}):
            await stores.jobs.enqueue(asset.id, asset.priority)


LOST = Failure("internal", "the work on this title failed for an unknown reason", retryable=True)


async def _fail(stores: Stores, asset: Asset, failure: Failure) -> None:
    try:
        await stores.catalog.transition(asset.id, Status.FAILED, {"error": failure}, seen=asset)
    except (Conflict, NotFound):
        log.info("title changed while it was being failed", media=asset.id)


async def _remove(stores: Stores, asset: Asset) -> None:
    try:
        await remove_title(stores, asset.id)
    except NotFound:
        log.info("title was removed by somebody else", media=asset.id)


async def _abandon(stores: Stores, upload: Asset) -> None:
    log.info("removing an upload that was never finished", media=upload.id)
    try:
        await remove_abandoned(stores, upload)
    except (Conflict, NotFound):
        log.info("upload was renewed, confirmed or removed meanwhile", media=upload.id)
