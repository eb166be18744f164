"""The cache behind the one in memory, on a local disk: for a store that is a network away.

Only objects whose name holds a hash of their content go there: segments and init segments. The
processes that share the directory read each of them from the store once. A disk that is full,
broken or slow is left alone for a while, and the store is asked instead.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, TypeVarTuple

import structlog

from media.keys import named_hash
from server.origin.diskfiles import DiskFiles, Kept
from stores.errors import NotFound, Unavailable
from stores.objects.base import ObjectInfo, ObjectStore

THREADS = 8
MAX_PENDING = 64  # jobs for the threads; more of them means a disk that does not keep up
MAX_WRITES = 16  # at once; each holds a segment in memory
DISK_PATIENCE_S = 1.0
REST_S = 10.0
TURN_PATIENCE_S = 5.0  # for another process to read an object from the store
TURN_POLL_S = 0.01
CHECK_PATIENCE_S = 1.0
CHECKED_FOR_S = 600.0  # until the store is asked whether it still has it: a title may be deleted
UNCHECKED_FOR_S = 86400.0  # while the store does not answer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = structlog.get_logger("server.origin")


class DiskCache:
    def __init__(self, files: DiskFiles, objects: ObjectStore) -> None:
        self.hits = 0
        self.errors = 0
        self.files = files
        self._objects = objects
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="disk-cache")
        self._pending = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._rest_until_s = 0.0  # time.monotonic
        self._check_again_at_s = 0.0  # time.monotonic
        self._doubted_at_s = 0.0

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """As ObjectStore.get, but for the ETag."""
        digest = named_hash(key)
        if digest is None:
            return await self._objects.get(key)
        body = await self._kept(key)
        if body is None:
            has_turn = await self._turn(key)
            try:
                body = await self._kept(key)
                if body is None:
                    body, _ = await self._objects.get(key)
                    if len(self._writes) < MAX_WRITES:
                        self._write(key, body, has_turn)
                        has_turn = False  # ended by the write
            finally:
                if has_turn:
                    self._end_turn(key)
        return body, ObjectInfo(key, len(body), digest)

    def doubt(self) -> None:
        """Ask the store whether it still has what was read until now, before it is used again."""
        self._doubted_at_s = time.time()

    async def close(self) -> None:
        if self._writes:
            await asyncio.wait(self._writes)
        self._threads.shutdown(wait=False)
        self.files.close()

    async def _kept(self, key: str) -> bytes | None:
        kept = await self._on_disk(self.files.read, key)
        if kept is None:
            return None
        await self._check(key, kept)
        self.hits += 1
        return kept.body

    async def _check(self, key: str, kept: Kept) -> None:
        """Raises NotFound, Unavailable."""
        age_s = time.time() - kept.checked_at_s
        if 0 <= age_s < CHECKED_FOR_S and kept.checked_at_s > self._doubted_at_s:
            return
        try:
            await self._ask_store(key)
        except NotFound:
            await self._on_disk(self.files.remove, key)
            raise
        except Unavailable:
            if age_s >= UNCHECKED_FOR_S or kept.checked_at_s <= self._doubted_at_s:
                raise
        else:
            await self._on_disk(self.files.confirm, key)

    async def _ask_store(self, key: str) -> None:
        if time.monotonic() < self._check_again_at_s:
            raise Unavailable("the store did not answer just now")
        try:
            async with asyncio.timeout(CHECK_PATIENCE_S):
                await self._objects.head(key)
        except (Unavailable, TimeoutError) as exc:
            self._check_again_at_s = time.monotonic() + CHECK_PATIENCE_S
            raise Unavailable(f"the store did not tell whether it has {key}") from exc

    async def _turn(self, key: str) -> bool:
        """To be the one process that reads an object from the store; False is to read it without,
        because the one that has the turn takes too long, or because locks do not work here."""
        deadline_s = time.monotonic() + TURN_PATIENCE_S
        try:
            while not self._is_resting() and time.monotonic() < deadline_s:
                if self.files.take_turn(key):
                    return True
                await asyncio.sleep(TURN_POLL_S)
        except OSError as exc:
            self._rest(str(exc))
        return False

    def _end_turn(self, key: str) -> None:
        try:
            self.files.end_turn(key)
        except OSError as exc:
            self._rest(str(exc))

    def _write(self, key: str, body: bytes, has_turn: bool) -> None:
        """Beside the answer. The turn ends when the others find the object on the disk."""
        writing = asyncio.create_task(self._on_disk(self.files.write, key, body))
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        if has_turn:
            writing.add_done_callback(lambda _: self._end_turn(key))

    async def _on_disk(self, function: Callable[[*Ts], T], *args: *Ts) -> T | None:
        """In a thread; None if the disk is not to be used now."""
        if self._pending >= MAX_PENDING or self._is_resting():
            return None
        self._pending += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args))
        work.add_done_callback(self._landed)
        done, _ = await asyncio.wait([work], timeout=DISK_PATIENCE_S)
        if not done:
            self._rest(f"no answer within {DISK_PATIENCE_S:g} s")
            return None
        return None if isinstance(work.exception(), OSError) else work.result()

    def _landed(self, work: asyncio.Future[T]) -> None:
        self._pending -= 1
        if isinstance(exc := work.exception(), OSError):
            self._rest(str(exc))

    def _is_resting(self) -> bool:
        return time.monotonic() < self._rest_until_s

    def _rest(self, reason: str) -> None:
        self.errors += 1
        if not self._is_resting():
            _log.warning("disk cache left alone for a while", reason=reason, seconds=REST_S)
        self._rest_until_s = time.monotonic() + REST_S
