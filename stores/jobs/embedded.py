"""The private redis-server of an installation without a Redis of its own.

Whoever opens it runs a keeper. One keeper at a time holds the lock on the directory; it starts
redis-server, starts it again when it dies, and stops it at the end. The others use the socket
meanwhile and take over when the lock becomes free. The server inherits the locked descriptor:
while it lives, its keeper dead or not, no second server can touch the files. It dies with its
keeper by PDEATHSIG.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stores.errors import Unavailable
from stores.jobs.connection import RedisAddress
from stores.processes import die_with_parent

PREFIX = "{headrace}"  # the directory is that of one installation
SOCKET = "redis.sock"
LOG = "redis.log"
MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 107, redis-server's own 106
START_TIMEOUT_S = 30
POLL_S = 0.05
LOCK_POLL_S = 0.2
SHORT_LIFE_S = 1.0
MAX_BACKOFF_S = 5.0
STOP_TIMEOUT_S = 10
LOG_TAIL_BYTES = 2000

log = logging.getLogger(__name__)


class EmbeddedRedis:
    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._socket = _socket_path(self._directory)
        self._entered = False

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(PREFIX, socket=str(self._socket))

    async def __aenter__(self) -> Self:
        self._executable = _find_server()
        _private_directory(self._directory)
        self._keeper = asyncio.create_task(self._keep())
        try:
            await self._wait_for_answer()
        except BaseException:
            await self._stop_keeper()
            raise
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop_keeper()

    async def _stop_keeper(self) -> None:
        self._keeper.cancel()
        await asyncio.wait({self._keeper})

    async def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._answers():
            if self._keeper.done():
                self._keeper.result()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"redis-server in {self._directory} does not answer after {START_TIMEOUT_S} s,"
                    f" see {self._directory / LOG}"
                )
            await asyncio.sleep(POLL_S)

    async def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)
        async with Redis(
            unix_socket_path=str(self._socket), socket_timeout=1, retry=once
        ) as client:
            try:
                return bool(await client.ping())
            except RedisError:  # not there yet, or loading
                return False

    async def _keep(self) -> None:
        while True:
            try:
                with _locked(self._directory) as lock:
                    if lock is not None:
                        await self._babysit(lock)
            except OSError as exc:
                self._complain(f"{self._directory} cannot be locked: {exc}")
                await asyncio.sleep(MAX_BACKOFF_S)
            await asyncio.sleep(LOCK_POLL_S)

    async def _babysit(self, lock: int) -> None:
        """Until cancelled. Raises Unavailable if the first server does not live."""
        backoff_s = 0.0
        while True:
            started = time.monotonic()
            try:
                why = self._why_it_died(await self._serve(lock))
            except (OSError, SubprocessError, Unavailable) as exc:
                why = f"{self._executable} cannot be run in {self._directory}: {exc}"
            self._complain(why)
            lived = time.monotonic() - started > SHORT_LIFE_S
            backoff_s = 0.0 if lived else min(MAX_BACKOFF_S, 2 * backoff_s + 0.1)
            await asyncio.sleep(backoff_s)

    def _complain(self, why: str) -> None:
        """To whoever opens this, or, once it is open, to the log: it may get well again."""
        if not self._entered:
            raise Unavailable(why)
        log.error("no redis-server, trying again: %s", why)

    async def _serve(self, lock: int) -> int:
        with _short_directory(self._socket.parent, self._directory):
            server = await self._spawn(lock)
            try:
                return await server.wait()
            finally:
                await _terminate(server)
                self._socket.unlink(missing_ok=True)

    async def _spawn(self, lock: int) -> asyncio.subprocess.Process:
        with (self._directory / LOG).open("wb") as output:
            return await asyncio.create_subprocess_exec(
                self._executable,
                *self._arguments(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for the workers: they still need it to drain
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "databases": "1",
            "loglevel": "warning",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _why_it_died(self, status: int) -> str:
        tail = (self._directory / LOG).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return (
            f"{self._executable} in {self._directory} ended with status {status}."
            " If its files are damaged, move them away: unfinished titles are queued again from"
            f" the catalog. The end of its log:\n{tail.strip()}"
        )


async def _terminate(server: asyncio.subprocess.Process) -> None:
    if server.returncode is not None:
        return
    server.terminate()
    try:
        await asyncio.wait_for(server.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        log.error("redis-server did not stop within %s s and is killed", STOP_TIMEOUT_S)
        server.kill()
        await server.wait()


def _find_server() -> str:
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None:
            return path
    raise Unavailable(
        "neither redis-server nor valkey-server is installed; on Debian or Ubuntu:"
        " apt install redis-server"
    )


def _socket_path(directory: Path) -> Path:
    """In the directory, or, where that is too long for a socket, in a short one named by it."""
    path = directory / SOCKET
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    name = hashlib.blake2b(os.fsencode(directory), digest_size=8).hexdigest()
    return Path("/tmp") / f"headrace-{os.getuid()}-{name}" / SOCKET  # noqa: S108


def _private_directory(path: Path) -> None:
    """Ours alone: whoever can reach the socket can run anything as us."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise Unavailable(f"{path} must be a directory that belongs to user {os.getuid()}")
    path.chmod(0o700)


@contextlib.contextmanager
def _short_directory(path: Path, directory: Path) -> Iterator[None]:
    if path == directory:
        yield
        return
    _private_directory(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing else is kept there
            path.rmdir()


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int | None]:
    """The descriptor of the locked directory, or None while somebody else has the lock."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)
