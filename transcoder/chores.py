"""What one worker does now and then for all of them, whichever it is."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from stores.collect import collect
from stores.errors import Unavailable
from stores.wiring import Stores
from transcoder.reconcile import reconcile

log = structlog.stdlib.get_logger(__name__)

RECONCILE_EVERY_S = 60.0
CLAIM_SHARE = 0.9  # of a period: or a worker that is alone would come just before its claim ends
START_S = 5.0
COLLECT_EVERY_S = 86_400.0
COLLECT_LOOK_S = 600.0  # a worker that lives for less than a day has its turn, too


async def tend(stores: Stores) -> None:
    """Until it is cancelled."""
    async with asyncio.TaskGroup() as chores:
        chores.create_task(_reconcile_forever(stores))
        chores.create_task(_collect_forever(stores))


async def _reconcile_forever(stores: Stores) -> None:
    """A start may follow an outage of everything, so it does not wait for the next round. Of many
    that start together one does it at once; what it came too early for, one of the others sees
    when the first one's claim has ended."""
    if not await _did(stores, "reconcile-at-start", START_S, reconcile):
        await asyncio.sleep(START_S)
        await _did(stores, "reconcile-at-start", START_S, reconcile)
    while True:
        await asyncio.sleep(RECONCILE_EVERY_S)
        await _did(stores, "reconcile", RECONCILE_EVERY_S * CLAIM_SHARE, reconcile)


async def _collect_forever(stores: Stores) -> None:
    while True:
        await _did(stores, "collect", COLLECT_EVERY_S * CLAIM_SHARE, _collect)
        await asyncio.sleep(COLLECT_LOOK_S)


async def _collect(stores: Stores) -> None:
    async for finding in collect(stores, dry_run=False):
        log.info("removed what nobody needs", what=finding.what, why=finding.why)


async def _did(
    stores: Stores, chore: str, every_s: float, do: Callable[[Stores], Awaitable[None]]
) -> bool:
    """False if it is another's turn, or a store is away."""
    try:
        if not await stores.jobs.claim(chore, every_s):
            return False
        await do(stores)
    except Unavailable as error:
        log.warning("a chore has to wait for a store", chore=chore, reason=str(error))
        return False
    return True
