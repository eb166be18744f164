"""The part of Linux's Landlock that takes the file system away from a process (kernel 5.13), and
TCP but for one port (kernel 6.7)."""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_GET_VERSION = 1
# How many access rights each version of the interface knows; a later one may know more.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_FILE_RIGHTS_SINCE_5 = 16
_TCP_SINCE = 4
_BIND_TCP, _CONNECT_TCP = 1, 2
_RULE_PATH, _RULE_NET_PORT = 1, 2

WRITE_FILE, READ_FILE, READ_FOLDER, USE_DEVICE = 1 << 1, 1 << 2, 1 << 3, 1 << 15  # the last: ioctl

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_files", ctypes.c_uint64), ("handled_net", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def version() -> int:
    """0 where the kernel, or what confines this process already, does not offer it."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)))


def confine(port: int | None, paths: Mapping[Path, int]) -> None:
    """No file can be opened, made, changed or removed by this thread and those it starts from
    now on, but for these (a folder stands for all that is in it), and no TCP connection made but
    to that port, of whatever host; what is open stays open. It needs no_new_privs, and does as
    much as the kernel's Landlock can."""
    found = version()
    if not found:
        return
    limits_tcp = found >= _TCP_SINCE
    handled = _Ruleset(
        (1 << _FILE_RIGHTS.get(found, _FILE_RIGHTS_SINCE_5)) - 1,
        _BIND_TCP | _CONNECT_TCP if limits_tcp else 0,
    )
    size = ctypes.sizeof(_Ruleset) if limits_tcp else ctypes.sizeof(ctypes.c_uint64)
    ruleset = _checked(
        _LIBC.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), 0)
    )
    try:
        for path, rights in paths.items():
            _allow_path(ruleset, path, rights & handled.handled_files)
        if limits_tcp and port is not None:
            _add(ruleset, _RULE_NET_PORT, _PortRule(_CONNECT_TCP, port))
        _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: Path, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _add(ruleset, _RULE_PATH, _PathRule(rights, fd))
    finally:
        os.close(fd)


def _add(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    _checked(_LIBC.syscall(_ADD_RULE, ruleset, kind, ctypes.byref(rule), 0))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused to confine this process")
    return result
