"""Ending the uploads under way when the server stops: a client may take hours to send one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.problems import ServerStopping


class Stopping:
    def __init__(self) -> None:
        self._stopped = False
        self._running: set[asyncio.Timeout] = set()

    def stop(self) -> None:
        self._stopped = True
        running, self._running = self._running, set()
        now_s = asyncio.get_running_loop().time()
        for timeout in running:
            timeout.reschedule(now_s)

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """What is inside is cancelled when the server stops. Raises ServerStopping then."""
        timeout = asyncio.timeout(0 if self._stopped else None)
        try:
            async with timeout:
                self._running.add(timeout)
                try:
                    yield
                finally:
                    self._running.discard(timeout)
        except TimeoutError as exc:
            if not timeout.expired():
                raise
            raise ServerStopping("The server is stopping; send the file again shortly.") from exc
