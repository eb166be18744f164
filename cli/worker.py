"""The worker process: takes tasks from the job engine and runs them until it is told to stop."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import closing
from typing import Any

import uvloop

from cli.metrics import listen
from cli.process import allow_many_connections
from media.settings import Settings
from stores.jobs.base import Worker
from stores.wiring import Stores, make_worker, open_stores, traced, wait_for_stores
from transcoder.child import Children
from transcoder.chores import tend
from transcoder.measured import Measured
from transcoder.metrics import WorkerMetrics
from transcoder.titles import Titles


def work(settings: Settings) -> None:
    """Until SIGINT or SIGTERM. Raises Unavailable when a store cannot be opened."""
    allow_many_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    metrics = WorkerMetrics(settings)
    with closing(Children(metrics.children_cpu.inc)) as children:
        children.start()
        await wait_for_stores(settings)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with traced(settings, "worker"), open_stores(settings) as stores:
            titles = Titles(stores.objects, stores.catalog, settings, children, metrics)
            worker = make_worker(settings, Measured(titles, metrics))
            beside = _beside(stores, listen(settings.worker, worker, metrics.registry))
            drain_s = settings.worker.draintimeout.total_seconds()
            try:
                await _run_until(stop, worker, beside, drain_s)
            finally:
                await titles.close()


async def _beside(stores: Stores, listening: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(tend(stores))
        group.create_task(listening)


async def _run_until(
    stop: asyncio.Event, worker: Worker, beside: Coroutine[Any, Any, None], drain_s: float
) -> None:
    """Raises what ended the worker, or its chores and its listener: with either gone, a new process
    is better than half a worker."""
    running = asyncio.create_task(worker.run())
    tending = asyncio.create_task(beside)
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
