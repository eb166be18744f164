"""What the processes of the service have in common: how they start, and how they end."""

import ctypes
import os
import resource
import signal
import sys

MISCONFIGURED = 2  # exit code: starting again is of no use; also typer's for wrong options
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends.

    The request does not survive a fork, so every process makes its own.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the request
        sys.exit(1)


def allow_many_connections() -> None:
    """Raise the soft limit of open files, 1024 on most machines, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
