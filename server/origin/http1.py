"""The origin as an HTTP/1.1 server of its own: the cheaper shell, for a process that is nothing
else. `native.connection` speaks the protocol; here is what happens once per connection or less
often.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from media.settings import Settings
from native.connection import Connection, Connections
from native.origin import Miss
from server.origin.app import Origin
from server.origin.board import Board
from server.origin.system import PATHS, System
from stores.objects.base import ObjectStore

FAREWELL_S = 2.0  # longer than a client that is busy waits between two requests
LAST_ANSWERS_S = 5.0  # for what is under way behind the farewell
ACCEPT_AGAIN_S = 0.05
PATIENCE_WHEN_FULL_S = 10.0  # with idle connections, while others wait for a place
POLL_S = 0.05


class OriginHTTP:
    """One per process and event loop."""

    def __init__(
        self, origin: Origin, objects: ObjectStore, board: Board, settings: Settings
    ) -> None:
        self._origin = origin
        self._objects = objects
        self._most = settings.server.connections
        self._patience_s = settings.server.readtimeout.total_seconds()
        self._connections = Connections(origin.core, self._begin_filling)
        self._system = System(settings, origin, objects, board, self._connections)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Until SIGINT or SIGTERM; other processes may accept from the same socket."""
        loop = asyncio.get_running_loop()
        self._origin.start(loop)
        self._system.start(loop)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        listener.setblocking(False)
        self._listen(listener)
        self._close_idle()
        await stop.wait()
        self._connections.leaving = True
        self._stop_listening(listener)
        await self._say_farewell()
        await self._origin.close()
        await self._objects.close()

    async def _say_farewell(self) -> None:
        """An idle connection that is closed at once may lose a request that is on its way just
        then. So for a moment every answer tells its client to go elsewhere with the next one."""
        if self._connections.open or self._tasks:  # a task may open one
            await asyncio.sleep(FAREWELL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                while self._connections.under_way:  # noqa: ASYNC110 -- counted only when asked for
                    await asyncio.sleep(POLL_S)
        self._connections.close_idle(0)

    def _close_idle(self) -> None:
        self._connections.close_idle(self._patience_s)
        asyncio.get_running_loop().call_later(self._patience_s / 4, self._close_idle)

    def _listen(self, listener: socket.socket) -> None:
        if not self._connections.leaving:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """One at a time, so that others who accept from this socket have their share. With no
        place or no descriptor left, what waits at the socket is for others, and for later."""
        try:
            if len(self._connections.open) < self._most:
                self._start(self._connect(listener.accept()[0]))
                return
            self._connections.close_idle(PATIENCE_WHEN_FULL_S)
        except (BlockingIOError, ConnectionAbortedError):  # another process has it; it is gone
            return
        except OSError:
            pass
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(ACCEPT_AGAIN_S, self._listen, listener)

    def _stop_listening(self, listener: socket.socket) -> None:
        """What is queued at the last descriptor of a socket is lost with it."""
        asyncio.get_running_loop().remove_reader(listener)
        with listener, suppress(OSError):
            while True:
                self._start(self._connect(listener.accept()[0]))

    async def _connect(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        make: Callable[[], Any] = partial(Connection, self._connections)
        await asyncio.get_running_loop().connect_accepted_socket(make, accepted)

    def _begin_filling(self, connection: Connection, miss: Miss) -> None:
        self._start(self._fill(connection, miss))

    async def _fill(self, connection: Connection, miss: Miss) -> None:
        response = None
        try:
            if miss.key in PATHS:
                response = await self._system.answer(miss.request)
            else:
                response = await self._origin.fill(miss)
        finally:
            connection.finish(response)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
