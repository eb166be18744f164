"""Objects on a local disk, within a budget that holds for all processes that share the directory.

    <dir>/<2>/<30>       an object, named by a hash of its key; atime: when it was last used,
                         mtime: when the store was last known to have it
    <dir>/<2>/<30>.new   an object on its way in, or left by a process that died
    <dir>/bytes          what all of them take; locked by whoever adds or removes one
    <dir>/turns          a byte of it is locked by whoever is reading an object from the store

Nothing is synced. A file that lost bytes in a power cut, or rots, no longer has the hash that the
key holds: reading it removes it.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from media.keys import content_hash, named_hash

BLOCK_BYTES = 4096  # what a file takes is counted in these
LARGEST_SHARE = 8  # an object above this fraction of the budget is not kept
SLACK_SHARE = 16  # this fraction is freed beyond need, so that not every write has to look for room
LOCK_PATIENCE_S = 1.0
LOCK_POLL_S = 0.005
COUNT_DIGITS = 20


class Kept(NamedTuple):
    body: bytes
    checked_at_s: float


class _File(NamedTuple):
    used_at_s: float
    cost: int
    path: Path


@dataclass(slots=True)
class DiskCounts:
    writes: int = 0
    evictions: int = 0
    damaged: int = 0


class DiskFiles:
    """Every method may raise OSError, and blocks."""

    def __init__(self, root: Path, budget_bytes: int) -> None:
        self.counts = DiskCounts()
        self._root = root
        self._budget_bytes = budget_bytes
        self._turns: BinaryIO | None = None
        self._is_counted = False

    def read(self, key: str) -> Kept | None:
        path = self.path(key)
        try:
            with path.open("rb") as file:
                body = file.read()
                checked_at_s = os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        if content_hash(body) != named_hash(key):
            self.counts.damaged += 1
            self.remove(key)
            return None
        with suppress(FileNotFoundError):  # evicted just now
            os.utime(path, (time.time(), checked_at_s))
        return Kept(body, checked_at_s)

    def write(self, key: str, body: bytes) -> None:
        path, cost = self.path(key), _cost(len(body))
        if cost > self._budget_bytes // LARGEST_SHARE or content_hash(body) != named_hash(key):
            return
        with self._locked() as count:
            if path.exists():  # another process was first
                return
            total = self._total(count)
            if total + cost > self._budget_bytes:
                total = self._make_room(cost)
            _store(count, total + cost)  # first: whatever happens now, it is not too low
            _place(path, body)
            self.counts.writes += 1

    def confirm(self, key: str) -> None:
        """The store has it now."""
        with suppress(FileNotFoundError):
            os.utime(self.path(key))

    def remove(self, key: str) -> None:
        path = self.path(key)
        with self._locked() as count, suppress(FileNotFoundError):
            cost = _cost(path.stat().st_size)
            path.unlink()
            _store(count, max(0, self._total(count) - cost))

    def take_turn(self, key: str) -> bool:
        """Whether this process may read the object from the store, and no other one now. What a
        process holds it loses when it ends, however it ends."""
        try:
            fcntl.lockf(self._turns_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place_of_turn(key))
        except BlockingIOError:
            return False
        return True

    def end_turn(self, key: str) -> None:
        fcntl.lockf(self._turns_file(), fcntl.LOCK_UN, 1, _place_of_turn(key))

    def close(self) -> None:
        if self._turns is not None:
            self._turns.close()

    def _turns_file(self) -> BinaryIO:
        """Open once: a process loses all its locks of a file with the first descriptor of that
        file that it closes."""
        if self._turns is None:
            self._root.mkdir(parents=True, exist_ok=True)
            self._turns = (self._root / "turns").open("wb")
        return self._turns

    def path(self, key: str) -> Path:
        name = _name(key)
        return self._root / name[:2] / name[2:]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._root.mkdir(parents=True, exist_ok=True)
        count = os.open(self._root / "bytes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline_s = time.monotonic() + LOCK_PATIENCE_S
            while not _try_lock(count):
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"{self._root / 'bytes'} stays locked")
                time.sleep(LOCK_POLL_S)
            yield count
        finally:
            os.close(count)

    def _total(self, count: int) -> int:
        """Counted anew by each process that starts: a power cut may have lost the last count."""
        digits = os.pread(count, COUNT_DIGITS, 0)
        if self._is_counted and digits.isdigit():
            return int(digits)
        self._is_counted = True
        return sum(file.cost for file in self._files())

    def _make_room(self, cost: int) -> int:
        """Remove what was not used for longest; returns what the rest takes."""
        files = sorted(self._files())
        total = sum(file.cost for file in files)
        enough = self._budget_bytes - cost - self._budget_bytes // SLACK_SHARE
        for file in files:
            if total <= enough:
                break
            file.path.unlink()
            total -= file.cost
            self.counts.evictions += 1
        return total

    def _files(self) -> Iterator[_File]:
        for folder in self._root.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".new"):  # nobody writes one now: we hold the lock
                        Path(entry.path).unlink()
                        continue
                    status = entry.stat()
                    yield _File(status.st_atime, _cost(status.st_size), Path(entry.path))


def _name(key: str) -> str:
    return blake2b(key.encode(), digest_size=16).hexdigest()


def _place_of_turn(key: str) -> int:
    return int(_name(key)[:15], 16)  # a file offset has 63 bits


def _cost(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _store(count: int, total: int) -> None:
    os.pwrite(count, b"%0*d" % (COUNT_DIGITS, total), 0)


def _place(path: Path, body: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_bytes(body)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
