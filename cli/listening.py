"""The processes of an origin, which take their connections from one listening socket.

Granian starts, watches and replaces the processes; what they serve with is the origin's own. It
would give each process a socket of its own, and what is queued at the socket of one that ends, or
has all the connections it may have, is lost or waits while others are idle.
Built on parts of Granian that are not its public interface: read `granian/server` before moving
its pin.
"""

import asyncio
import multiprocessing
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from granian._granian import ListenerSpec
from granian.server.mp import MPServer, WorkerProcess

from server.origin.http1 import OriginHTTP

GENERATIONS = 2  # of a process, at most: one that ends, and the one in its place
RECEIVE_BYTES = 64 << 10  # a few heads; the kernel would keep megabytes for who sends and sends


@dataclass(frozen=True, slots=True)
class Seat:
    """What a process is told of its place among the others."""

    number: int  # that no other living process has, below GENERATIONS * workers
    listener: int  # descriptor of the socket that all of them accept connections from


class OriginServer(MPServer):
    """Calls the loader with a `Seat`, for what is then served."""

    _shd: Any
    _sso: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        multiprocessing.set_start_method("fork", force=True)  # so that the socket is inherited
        super().__init__(*args, **kwargs)
        self._spawned: Counter[int] = Counter()

    def serve_origins(self, load: Callable[[Seat], OriginHTTP]) -> None:
        def load_with_listener(seat: Seat) -> Any:
            return load(seat), socket.socket(fileno=seat.listener)

        self.serve(spawn_target=_serve, target_loader=load_with_listener, wrap_loader=False)

    def _init_shared_socket(self) -> None:
        self._shd = ListenerSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._sso = socket.socket(fileno=self._shd.get_fd())
        self._sso.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # inherited
        self._sso.listen(self.backlog)

    def _spawn_worker(  # type: ignore[override]
        self, idx: int, target: Any, callback_loader: Callable[[Seat], Any]
    ) -> WorkerProcess:
        number = idx * GENERATIONS + self._spawned[idx] % GENERATIONS
        self._spawned[idx] += 1
        seat = Seat(number, self._sso.fileno())
        return super()._spawn_worker(idx, target, partial(callback_loader, seat))


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def _serve(
    _worker: int,
    loaded: tuple[OriginHTTP, socket.socket],
    _socket: Any,
    _ipc: Any,
    loop: asyncio.AbstractEventLoop,
    *_: Any,
) -> None:
    """In the new process."""
    origin, listener = loaded
    loop.run_until_complete(origin.serve(listener))
