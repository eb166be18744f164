"""The inside of a sandboxed child: take one request, do it, say how it ended."""

import errno
import os
import pickle
import resource
import socket
import struct
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import TaskFailed
from stores.objects.base import Source
from transcoder import landlock, messages, nvidia
from transcoder.messages import Broke, Finished, Message, Rejected, Starved

Send = Callable[[Message], None]
REQUEST_SIZE = struct.Struct("<I")
MOST_TRACEBACK_CHARACTERS = 4000


MOST_ADDRESS_SPACE_BYTES = 12 << 30
# Address space counts what is reserved: thread stacks and allocator arenas, mostly never touched.
RESERVED_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use."""

    time_s: float
    cpu_s: int
    address_space_bytes: int = MOST_ADDRESS_SPACE_BYTES
    open_files: int = 32
    niceness: int = 5  # serving goes before encoding


def address_space_share(slots: int) -> int:
    """For one of so many children that run at once: its part of the memory there is, and what
    is only reserved."""
    return min(MOST_ADDRESS_SPACE_BYTES, memory_bytes() // slots + RESERVED_BYTES)


def memory_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit
        return physical


@dataclass(frozen=True, slots=True)
class Request:
    """Pickled by the worker, which the child trusts; nothing pickled goes the other way."""

    function: Callable[..., None]
    arguments: tuple[object, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class OnlySource(Source):
    """The last file that a child opens, but for a GPU's: with Landlock a hijacked decoder can then
    read no key of ours, remove no object, and connect by TCP to no other port than its source's."""

    source: Source

    def open(self) -> BinaryIO:
        file = self.source.open()
        landlock.confine(self.source.port(), nvidia.files())
        return file


def serve(channel: socket.socket) -> None:
    request: Request = pickle.loads(_receive(channel))  # noqa: S301 - written by our own worker
    _confine(request.limits)
    lock = threading.Lock()

    def send(message: Message) -> None:
        head, payload = messages.encode(message)
        with lock:
            channel.sendall(head)
            channel.sendall(payload)

    send(_outcome(request, send))


def _receive(channel: socket.socket) -> bytes:
    with channel.makefile("rb") as stream:
        (size,) = REQUEST_SIZE.unpack(stream.read(REQUEST_SIZE.size))
        return stream.read(size)


def _confine(limits: Limits) -> None:
    for which, soft, hard in (
        (resource.RLIMIT_AS, limits.address_space_bytes, limits.address_space_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1),  # SIGXCPU, then SIGKILL
        (resource.RLIMIT_FSIZE, 0, 0),  # a child writes to its channel and nowhere else
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
    ):
        resource.setrlimit(which, (soft, hard))
    os.nice(limits.niceness)


def _confining(argument: object) -> object:
    return OnlySource(argument) if isinstance(argument, Source) else argument


def _broke() -> Broke:
    """The end says most, and all of it might not fit into a message."""
    return Broke(traceback.format_exc()[-MOST_TRACEBACK_CHARACTERS:])


def _outcome(request: Request, send: Send) -> Message:
    try:
        request.function(send, *map(_confining, request.arguments))
    except TaskFailed as failed:
        return Rejected(failed.failure.code, failed.failure.message, failed.failure.retryable)
    except NotFound as missing:
        return Rejected("source_missing", f"the uploaded file is gone: {missing}", False)
    except Conflict:
        text = "the uploaded file was replaced after it was confirmed"
        return Rejected("source_replaced", text, False)
    except Unavailable as error:
        return Starved(str(error))
    except MemoryError:
        return Rejected("too_demanding", "decoding this file needs too much memory", False)
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            raise  # the worker hung up: nobody is left to tell
        return _broke()
    except BaseException:  # noqa: BLE001 - the edge of the process: the worker logs and decides
        return _broke()
    return Finished()
