"""The server of origin processes, which take their connections from one listening socket.

Granian gives every worker process a listening socket of its own. What is queued at the socket of
one that ends, or has all the connections it may have, is lost, or waits while others are idle.
Built on parts of Granian that are not its public interface: read `granian/server` before moving
its pin.
"""

import multiprocessing
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from granian._granian import ListenerSpec
from granian.server.mp import MPServer, WorkerProcess

GENERATIONS = 2  # of a worker, at most: one that ends, and the one in its place


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker process is told of its place among the others."""

    number: int  # that no other living worker has, below GENERATIONS * workers
    listener: int | None  # descriptor of the socket that all of them accept connections from

    def leave(self) -> None:
        """Accept no more connections. Granian would accept them to its very end, and then close
        those that have not sent a request yet: they go to others instead."""
        if self.listener is not None:
            with socket.socket(socket.AF_UNIX) as silent:
                silent.setblocking(False)
                silent.bind("")  # to a name that nobody knows
                silent.listen()
                os.dup2(silent.fileno(), self.listener, inheritable=False)


class OriginServer(MPServer):
    """Calls the loader with a `Seat`."""

    _shd: Any
    _sso: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spawned: Counter[int] = Counter()

    def _init_shared_socket(self) -> None:
        if multiprocessing.get_start_method() != "fork":  # the workers would not inherit it
            super()._init_shared_socket()  # type: ignore[no-untyped-call]
            return
        self._shd = ListenerSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._sso = socket.socket(fileno=self._shd.get_fd())

    def _spawn_worker(  # type: ignore[override]
        self, idx: int, target: Any, callback_loader: Callable[[Seat], Any]
    ) -> WorkerProcess:
        number = idx * GENERATIONS + self._spawned[idx] % GENERATIONS
        self._spawned[idx] += 1
        seat = Seat(number, None if self._sso is None else self._sso.fileno())
        return super()._spawn_worker(idx, target, partial(callback_loader, seat))
