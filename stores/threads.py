"""Blocking work off the event loop, in a pool that its store owns."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_thread(executor: Executor, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Like asyncio.to_thread, except that a cancelled caller leaves only when the work has
    ended or will never start: nothing of a cancelled job can land after its clean-up."""
    work = executor.submit(function, *args)
    future = asyncio.wrap_future(work)
    try:
        await asyncio.wait([future])
    except asyncio.CancelledError:
        if not work.cancel():
            await _settled(future)
        raise
    return future.result()


async def _settled(future: asyncio.Future[T]) -> None:
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    future.exception()  # retrieved, so that asyncio does not log it as lost
