"""The worker process: takes tasks from the job engine and runs them until it is told to stop."""

import asyncio
import signal
from contextlib import closing

import uvloop

from cli.process import allow_many_connections
from media.settings import Settings
from stores.jobs.base import Worker
from stores.wiring import Stores, make_worker, open_stores, wait_for_stores
from transcoder.child import Children
from transcoder.chores import tend
from transcoder.titles import Titles


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
            try:
                await _run_until(stop, make_worker(settings, titles), stores, drain_s)
            finally:
                await titles.close()


async def _run_until(stop: asyncio.Event, worker: Worker, stores: Stores, drain_s: float) -> None:
    """Raises what ended the worker or its chores: with either gone, a new process is
    better than half a worker."""
    running = asyncio.create_task(worker.run())
    tending = asyncio.create_task(tend(stores))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([running, tending, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await worker.drain(drain_s)
        await running
    finally:
        stopped.cancel()
        tending.cancel()
        await asyncio.wait([tending])
    if not tending.cancelled():
        tending.result()
