"""Objects as files below a directory of one machine.

    <root>/<key>          one file per object, never changed in place
    <root>/.tmp/<random>  objects on their way in

A file gets its name by a rename after its bytes are on disk, so that every name means a whole
object, after a power cut too.
"""

import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from stores.errors import Conflict, NotFound, Unavailable
from stores.objects import tree
from stores.objects.base import (
    ObjectInfo,
    ObjectStore,
    ObjectWriter,
    Source,
    UploadRules,
    UploadTarget,
)
from stores.objects.keys import split_key, split_prefix
from stores.objects.staged import StagedFile, sweep
from stores.threads import in_thread
from stores.trait import Trait

THREADS = 16  # most of them wait for the disk
WRITE_BYTES = 1 << 20  # a writer joins chunks up to this before one trip to a thread
LIST_BATCH = 256
PLACE_ATTEMPTS = 100  # each lost one means that the folder was pruned just then

_NO_SUCH_OBJECT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
_GRANT = "give the user that runs this process the right to read and write it"
_HINTS = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "raise the disk quota of the user that runs this process",
    errno.EACCES: _GRANT,
    errno.EPERM: _GRANT,
    errno.EROFS: "mount it writable",
    errno.ENOENT: "create it, or mount its disk",
    errno.ENOTDIR: "move away what stands where a directory is needed",
    errno.EISDIR: "move away the directory that stands where a file is needed",
    errno.ELOOP: "move away the symbolic link",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
}

# Whether the object that has this etag, or none (None), may be replaced.
Condition = Callable[[str | None], bool]


class FilesystemObjects(ObjectStore):
    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._staging = self._root / ".tmp"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        with _unavailable(self._root):
            self._staging.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectWriter]:
        split_key(key)
        staged = StagedFile(self._staging)
        writer = _FileWriter(self._root, self._threads, staged)
        try:
            await writer.open()
            yield writer
            await writer.finish()
            await in_thread(self._threads, self._publish, staged, key, _always)
        finally:
            await in_thread(self._threads, staged.close)

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        return await in_thread(self._threads, self._put, key, data, _always)

    async def put_if(self, key: str, data: bytes, *, etag: str | None) -> ObjectInfo:
        return await in_thread(self._threads, self._put, key, data, lambda current: current == etag)

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        return await in_thread(self._threads, self._get, key)

    async def head(self, key: str) -> ObjectInfo:
        return await in_thread(self._threads, self._head, key)

    async def source(self, key: str, *, etag: str | None = None) -> Source:
        split_key(key)
        return FileSource(self._root, key, etag)

    async def upload_target(self, key: str, rules: UploadRules) -> UploadTarget | None:
        return None

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        found = tree.walk(self._root, *split_prefix(prefix))
        try:
            while batch := await in_thread(self._threads, _next_batch, self._root, found):
                for key, status in batch:
                    yield _info(key, status)
        finally:
            found.close()

    async def delete(self, key: str) -> None:
        await in_thread(self._threads, self._delete, key)

    async def delete_prefix(self, prefix: str) -> int:
        if not prefix.endswith("/"):
            raise ValueError(f"a prefix to delete must end in '/', got {prefix[:200]!r}")
        return await in_thread(self._threads, self._delete_prefix, prefix)

    async def sweep(self, *, dry_run: bool = False) -> Sequence[str]:
        return await in_thread(self._threads, self._sweep, dry_run)

    async def create(self) -> Sequence[str]:
        return ()  # the directory was made when the store was opened

    async def traits(self, pages: Sequence[str]) -> Sequence[Trait]:
        return ()

    async def check(self) -> None:
        await in_thread(self._threads, self._check)

    async def close(self) -> None:
        self._threads.shutdown()

    def _put(self, key: str, data: bytes, condition: Condition) -> ObjectInfo:
        split_key(key)
        staged = StagedFile(self._staging)
        try:
            with _unavailable(self._root):
                staged.open()
                staged.write(data)
            return self._publish(staged, key, condition)
        finally:
            staged.close()

    def _publish(self, staged: StagedFile, key: str, condition: Condition) -> ObjectInfo:
        *folders, _ = split_key(key)
        with _unavailable(self._root):
            staged.sync()
            for _ in range(PLACE_ATTEMPTS):
                with (
                    suppress(FileNotFoundError),
                    tree.opened(self._root, folders, create=True) as folder,
                ):
                    status = _place(staged, folder, key, condition)
                    os.fsync(folder)
                    return _info(key, status)
        raise Unavailable(f"object {key} cannot be stored: its directory is removed all the time")

    def _get(self, key: str) -> tuple[bytes, ObjectInfo]:
        with _existing(self._root, key) as (folder, name):
            fd = tree.open_file(folder, name)
            with os.fdopen(fd, "rb", buffering=0) as file:
                return file.readall(), _info(key, os.fstat(fd))

    def _head(self, key: str) -> ObjectInfo:
        with _existing(self._root, key) as (folder, name):
            return _info(key, tree.file_status(folder, name))

    def _delete(self, key: str) -> None:
        *folders, _ = split_key(key)
        with suppress(NotFound), _existing(self._root, key) as (folder, name):
            tree.remove_file(folder, name)
        with _unavailable(self._root):
            tree.prune(self._root, folders)

    def _delete_prefix(self, prefix: str) -> int:
        folders, _ = split_prefix(prefix)
        count = 0
        with _unavailable(self._root):
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                tree.opened(self._root, folders) as folder,
            ):
                count = tree.clear(folder)
            tree.prune(self._root, folders)
        return count

    def _sweep(self, dry_run: bool) -> Sequence[str]:
        with _unavailable(self._root):
            return sweep(self._staging, dry_run=dry_run)

    def _check(self) -> None:
        """Without a wait for the disk, as this may be asked often."""
        staged = StagedFile(self._staging)
        try:
            with _unavailable(self._root):
                staged.open()
                staged.write(b"headrace")
        finally:
            staged.close()


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    root: Path
    key: str
    etag: str | None

    def open(self) -> BinaryIO:
        with _existing(self.root, self.key) as (folder, name):
            file = os.fdopen(tree.open_file(folder, name), "rb")
        if self.etag is not None and _etag(os.fstat(file.fileno())) != self.etag:
            file.close()
            raise Conflict(f"object {self.key} was replaced")
        return file


class _FileWriter(ObjectWriter):
    def __init__(self, root: Path, threads: ThreadPoolExecutor, staged: StagedFile) -> None:
        self._root = root
        self._threads = threads
        self._staged = staged
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._whole = True

    async def open(self) -> None:
        with _unavailable(self._root):
            await in_thread(self._threads, self._staged.open)

    async def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= WRITE_BYTES:
            await self._write_out()

    async def flush(self) -> None:
        await self.finish()
        with _unavailable(self._root):
            await in_thread(self._threads, self._staged.sync)

    async def finish(self) -> None:
        if not self._whole:
            raise Unavailable("a write of this upload had failed; it cannot become an object")
        await self._write_out()

    async def _write_out(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._whole = False
        with _unavailable(self._root):
            await in_thread(self._threads, self._staged.write, data)
        self._whole = True


def _place(staged: StagedFile, folder: int, key: str, condition: Condition) -> os.stat_result:
    name = key.rpartition("/")[2]
    with tree.locked(folder):
        try:
            current = tree.file_status(folder, name)
        except FileNotFoundError:
            current = None
        if not condition(_etag(current) if current else None):
            raise Conflict(f"object {key} was written by somebody else meanwhile")
        # Ever-newer times make the etag change although inode numbers come back, sizes are
        # equal, and the kernel's clock for files ticks in milliseconds.
        mtime_ns = max(time.time_ns(), current.st_mtime_ns + 1 if current else 0)
        return staged.place(folder, name, mtime_ns=mtime_ns)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size, _etag(status))


def _always(_: str | None) -> bool:
    return True


def _next_batch(root: Path, found: tree.Found) -> list[tuple[str, os.stat_result]]:
    with _unavailable(root):
        try:
            return list(islice(found, LIST_BATCH))
        except (FileNotFoundError, NotADirectoryError):
            return []


@contextmanager
def _existing(root: Path, key: str) -> Iterator[tuple[int, str]]:
    """The folder and the name of an object; a missing one raises NotFound."""
    *folders, name = split_key(key)
    try:
        with tree.opened(root, folders) as folder:
            yield folder, name
    except OSError as exc:
        if exc.errno in _NO_SUCH_OBJECT:
            raise NotFound(f"object {key}") from exc
        raise _translated(root, exc) from exc


@contextmanager
def _unavailable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _translated(root, exc) from exc


def _translated(root: Path, exc: OSError) -> Unavailable:
    hint = _HINTS.get(exc.errno or 0)
    return Unavailable(f"object store {root}: {exc}" + (f"; {hint}" if hint else ""))
