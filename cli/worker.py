"""The worker process: takes tasks from the job engine and runs them until it is told to stop."""

import asyncio
import signal
from contextlib import closing

import structlog
import uvloop

from cli.process import allow_many_connections
from media.settings import Settings
from stores.errors import Unavailable
from stores.jobs.base import Worker
from stores.wiring import Stores, make_worker, open_stores, wait_for_stores
from transcoder.child import Children
from transcoder.reconcile import reconcile
from transcoder.titles import Titles

log = structlog.stdlib.get_logger(__name__)

RECONCILE_EVERY_S = 60.0


def work(settings: Settings) -> None:
    """Until SIGINT or SIGTERM. Raises Unavailable when a store cannot be opened."""
    allow_many_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    with closing(Children()) as children:
        children.start()
        await wait_for_stores(settings)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with open_stores(settings) as stores:
            titles = Titles(stores.objects, stores.catalog, settings, children)
            drain_s = settings.worker.draintimeout.total_seconds()
            await _run_until(stop, make_worker(settings, titles), stores, drain_s)


async def _run_until(stop: asyncio.Event, worker: Worker, stores: Stores, drain_s: float) -> None:
    """Raises what ended the worker or the reconciliation: with either gone, a new process is
    better than half a worker."""
    running = asyncio.create_task(worker.run())
    reconciling = asyncio.create_task(_reconcile_forever(stores))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([running, reconciling, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await worker.drain(drain_s)
        await running
    finally:
        stopped.cancel()
        reconciling.cancel()
        await asyncio.wait([reconciling])
    if not reconciling.cancelled():
        reconciling.result()


async def _reconcile_forever(stores: Stores) -> None:
    while True:
        try:
            await reconcile(stores)
        except Unavailable as error:
            log.warning("could not look for unfinished titles", reason=str(error))
        await asyncio.sleep(RECONCILE_EVERY_S)
