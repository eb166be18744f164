"""The part of Linux's Landlock that takes the file system away from a process (kernel 5.13)."""

import ctypes
import os

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_GET_VERSION = 1
# How many access rights each version of the interface knows; a later one may know more.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_RIGHTS_SINCE_5 = 16

_LIBC = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """0 where the kernel, or what confines this process already, does not offer it."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)))


def forbid_files() -> None:
    """No file can be opened, made, changed or removed by this thread and those it starts from
    now on; what is open stays open. It needs no_new_privs, and does nothing without Landlock."""
    found = version()
    if not found:
        return
    handled = ctypes.c_uint64((1 << _RIGHTS.get(found, _RIGHTS_SINCE_5)) - 1)
    size = ctypes.c_size_t(ctypes.sizeof(handled))
    ruleset = _checked(_LIBC.syscall(_CREATE_RULESET, ctypes.byref(handled), size, 0))
    try:
        _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused to confine this process")
    return result
