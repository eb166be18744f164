"""What a process asks of Linux about itself."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38

_LIBC = ctypes.CDLL(None, use_errno=True)  # here, as nothing may be loaded right after a fork


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends.

    The request does not survive a fork, so every process makes its own.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os._exit(1)


def forbid_new_privileges() -> None:
    """Also to whatever this process forks or executes."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
