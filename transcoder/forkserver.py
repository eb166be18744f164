"""The process that forks the sandboxed children of one worker: `python -m transcoder.forkserver`.

It has the codecs loaded and nothing open, so a child costs a fork and not an interpreter start.
multiprocessing's fork server is not used because it passes the worker's environment on and runs
the worker's main module again in each child.

    worker --"fork", child id + [channel, status]--> fork server --fork--> child
    worker --"kill", child id----------------------> fork server --SIGKILL--> child
                                 status <--wait status--+            channel <--messages-- child

The chain of PR_SET_PDEATHSIG kills the children when the worker is gone, however it went.
"""

import contextlib
import importlib
import os
import pkgutil
import resource
import selectors
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from types import FrameType, ModuleType

import av

from stores.processes import die_with_parent, forbid_new_privileges
from transcoder import audio, encoder, probe, video, work

PRELOADED = (audio, encoder, probe, video)  # what the children will be asked to run

FORK = 1
KILL = 2
COMMAND = struct.Struct("<BQ")  # FORK or KILL, child id
STATUS = struct.Struct("<id")  # how it ended, seconds of processor time it took


@dataclass(slots=True)
class _Child:
    id: int
    status_fd: int


def main() -> None:
    control_fd, worker_pid = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(worker_pid)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _import_whole(av)
    control = socket.socket(fileno=control_fd)
    wakeup_read, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup_write)
    signal.signal(signal.SIGCHLD, _only_wake_up)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to handle
    children: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wakeup_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    os.read(wakeup_read, 4096)
                    _reap(children)
                elif not obey(control, children):
                    return


def _import_whole(package: ModuleType) -> None:
    """PyAV imports some of itself only when a file needs it, and then a child may open no file."""
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _only_wake_up(_signal: int, _frame: FrameType | None) -> None:
    """A handler must exist for the wake-up pipe to be written."""


def obey(control: socket.socket, children: dict[int, _Child]) -> bool:
    """One command; False when the worker closed its end."""
    command, fds, _, _ = socket.recv_fds(control, COMMAND.size, 2)
    if not command:
        return False
    operation, child_id = COMMAND.unpack(command)
    if operation == KILL:
        for pid, child in children.items():
            if child.id == child_id:
                os.kill(pid, signal.SIGKILL)
        return True
    forked = _forked(fds)
    if forked is None:  # the worker sees its ends closed, and the other children live on
        for fd in fds:
            os.close(fd)
    else:
        channel_fd, status_fd = fds
        os.close(channel_fd)
        children[forked] = _Child(child_id, status_fd)
    return True


def _forked(fds: list[int]) -> int | None:
    """The child's process id; `None` for want of memory, processes or descriptors (which are
    then not received)."""
    if len(fds) != 2:
        return None
    server_pid = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return None
    if pid == 0:
        _become_child(fds[0], server_pid)
    return pid


def _reap(children: dict[int, _Child]) -> None:
    while children:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        child = children.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # the worker does not care any more
            os.write(child.status_fd, STATUS.pack(status, usage.ru_utime + usage.ru_stime))
        os.close(child.status_fd)


def _become_child(channel_fd: int, server_pid: int) -> None:
    """Never returns. Any way out other than the end of the work is an exit status of 1."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(server_pid)
        forbid_new_privileges()
        os.dup2(channel_fd, 3, inheritable=False)
        os.closerange(4, 1 << 16)
        with socket.socket(fileno=3) as channel:
            work.serve(channel)
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
