"""Cutting the connections of clients that do not take what they asked for.

The body of an answer stays in memory until the client has taken it, and the HTTP server waits for
that without end: a few thousand clients that never read would hold all its connections, and a body
each. The kernel knows how much each of them has taken. Works on Linux; elsewhere nothing is cut.
"""

import asyncio
import fcntl
import os
import socket
import stat
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LEAST_BYTES = 64 * 1024  # to be taken within the patience; or all there is

_DESCRIPTORS = Path("/proc/self/fd")
_TCP_INFO = struct.Struct("=120x Q")  # struct tcp_info of include/uapi/linux/tcp.h: bytes_acked
_INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class _Sent:
    acknowledged: int  # bytes since the connection began
    waiting: int  # bytes that the kernel holds for the client


class SlowReaders:
    """Of the connections of this process to one of its ports."""

    def __init__(self, port: int, patience_s: float) -> None:
        self.cut = 0
        self._port = port
        self._patience_s = patience_s
        self._due: dict[int, int] = {}  # inode of a socket -> `acknowledged` at the next look

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if sys.platform == "linux":
            self.look()
            loop.call_later(self._patience_s, self.start, loop)

    def look(self) -> None:
        due = {}
        for inode, found in _sockets():
            with found, suppress(OSError):  # closed just now
                if not self._is_ours(found):
                    continue
                sent = _sent(found)
                if sent.waiting and sent.acknowledged < self._due.get(inode, 0):
                    self.cut += 1
                    found.shutdown(socket.SHUT_RDWR)
                elif sent.waiting:
                    due[inode] = sent.acknowledged + min(sent.waiting, LEAST_BYTES)
        self._due = due

    def _is_ours(self, found: socket.socket) -> bool:
        return (
            found.family in (socket.AF_INET, socket.AF_INET6)
            and found.type == socket.SOCK_STREAM
            and found.getsockname()[1] == self._port
            and not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )


def _sockets() -> Iterator[tuple[int, socket.socket]]:
    """Of this process, with their inodes; a duplicate of each."""
    for path in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # closed just now
            number = int(path.name)
            status = os.fstat(number)
            if stat.S_ISSOCK(status.st_mode):
                yield status.st_ino, socket.socket(fileno=os.dup(number))


def _sent(connection: socket.socket) -> _Sent:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    waiting = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
    return _Sent(*_TCP_INFO.unpack(info), *_INT.unpack(waiting))
