"""Ending tasks that would go on for ever."""

import asyncio
from typing import Any

CANCEL_AGAIN_S = 1.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel it until it has ended. Once is not enough for a loop that talks to Redis: before
    Python 3.12 `asyncio.wait_for`, which redis-py sends with, loses a cancellation that comes
    just as the sending ends."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
