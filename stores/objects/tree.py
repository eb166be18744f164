"""A directory tree walked by descriptors that refuse symbolic links: no key leaves the root.

Names in a folder change only under its lock. Empty folders are removed without it: whoever was
about to place a file there fails with FileNotFoundError and starts over.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stores.errors import Unavailable
from stores.objects.keys import is_part

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # never waits at a FIFO


@contextmanager
def opened(root: Path, folders: Sequence[str], *, create: bool = False) -> Iterator[int]:
    try:
        fd = os.open(root, _FOLDER)
    except FileNotFoundError as exc:  # not taken for a missing object
        raise Unavailable(f"{root} does not exist; create it, or mount its disk") from exc
    try:
        for name in folders:
            child = _enter(fd, name, create=create)
            os.close(fd)
            fd = child
        yield fd
    finally:
        os.close(fd)


def _enter(fd: int, name: str, *, create: bool = False) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
            os.fsync(fd)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """Excludes every other descriptor of the folder, in this process and in others."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def file_status(folder: int, name: str) -> os.stat_result:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return status


def open_file(folder: int, name: str) -> int:
    fd = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return fd


Found = Generator[tuple[str, os.stat_result], None, None]  # path below the root, status


def remove_file(folder: int, name: str) -> None:
    with locked(folder):
        os.unlink(name, dir_fd=folder)


def walk(root: Path, parts: Sequence[str], start: str) -> Found:
    """The files below the folder `parts` whose next name begins with `start`."""
    base = "".join(f"{part}/" for part in parts)
    with opened(root, parts) as folder:
        yield from _walk_folder(folder, base, start)


def _walk_folder(folder: int, base: str, start: str) -> Found:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_part(entry.name) and entry.name.startswith(start):
                with suppress(FileNotFoundError):  # gone since it was listed
                    yield from _walk_entry(folder, entry, base + entry.name)


def _walk_entry(folder: int, entry: os.DirEntry[str], path: str) -> Found:
    if entry.is_file(follow_symlinks=False):
        yield path, entry.stat(follow_symlinks=False)
    elif entry.is_dir(follow_symlinks=False):
        child = _enter(folder, entry.name)
        try:
            yield from _walk_folder(child, f"{path}/", "")
        finally:
            os.close(child)


def clear(folder: int) -> int:
    """Remove everything below a folder; returns how many files there were."""
    with os.scandir(folder) as found:
        entries = [entry for entry in found if is_part(entry.name)]
    return sum(_clear_entry(folder, entry) for entry in entries)


def _clear_entry(folder: int, entry: os.DirEntry[str]) -> int:
    try:
        if not entry.is_dir(follow_symlinks=False):
            remove_file(folder, entry.name)
            return int(entry.is_file(follow_symlinks=False))
        child = _enter(folder, entry.name)
    except FileNotFoundError:
        return 0
    try:
        count = clear(child)
    finally:
        os.close(child)
    with suppress(OSError):  # in use again
        os.rmdir(entry.name, dir_fd=folder)
    return count


def prune(root: Path, folders: Sequence[str]) -> None:
    """Remove a folder and those above it as far as they are empty, for good."""
    while folders:
        try:
            root.joinpath(*folders).rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # in use
            break
        folders = folders[:-1]
    with suppress(FileNotFoundError, NotADirectoryError), opened(root, folders) as survivor:
        os.fsync(survivor)
