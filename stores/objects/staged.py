"""Files that become objects: written under a random name, locked by their living writer."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

SYNC_EVERY_BYTES = 64 << 20  # spreads a large upload's wait for the disk over the upload


class StagedFile:
    """`close` is always called, also when `open` failed, and removes what was not placed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder
        self._fd = -1
        self._unsynced = 0
        self._placed = False

    def open(self) -> None:
        self._create()
        while os.fstat(self._fd).st_nlink == 0:  # swept between its creation and its lock
            os.close(self._fd)
            self._create()

    def _create(self) -> None:
        self._path = self._folder / token_hex(16)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY_BYTES:
            self.sync()

    def sync(self) -> None:
        os.fsync(self._fd)
        self._unsynced = 0

    def place(self, folder_fd: int, name: str, *, mtime_ns: int) -> os.stat_result:
        os.utime(self._fd, ns=(mtime_ns, mtime_ns))
        os.rename(self._path, name, dst_dir_fd=folder_fd)
        self._placed = True
        return os.fstat(self._fd)

    def close(self) -> None:
        if self._fd < 0:
            return
        if not self._placed:
            with suppress(FileNotFoundError):
                self._path.unlink()
        os.close(self._fd)
        self._fd = -1


def sweep(folder: Path, *, dry_run: bool) -> list[str]:
    """Remove the files of dead writers, a lock ends with its process, however that ends; or only
    name them."""
    removed = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError, BlockingIOError):
            _remove_if_unlocked(path, dry_run)
            removed.append(f"staged file {path.name}")
    return removed


def _remove_if_unlocked(path: Path, dry_run: bool) -> None:
    """Raises BlockingIOError for one that is being written."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not dry_run:
            path.unlink()
    finally:
        os.close(fd)
