"""The worker's side of its sandboxed children.

    async with children.run(function, *arguments, limits=limits) as messages:
        async for message in messages:
            ...

Leaving the `async with` early, by cancellation or any exception, kills the child and reaps it.
"""

import asyncio
import contextlib
import itertools
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import structlog

from media.asset import Failure
from stores.errors import Unavailable
from stores.jobs.base import TaskFailed
from transcoder import landlock, messages
from transcoder.forkserver import COMMAND, FORK, KILL, STATUS
from transcoder.messages import Broke, Finished, MalformedMessage, Message, Rejected, Starved
from transcoder.work import REQUEST_SIZE, Limits, Request

log = structlog.stdlib.get_logger(__name__)

STREAM_LIMIT_BYTES = 1 << 20  # how far a child may run ahead of its worker


class ChildBroke(Exception):
    """A bug in our own code, or a child gone without a word: internal, so worth a retry."""


class ChildLost(ChildBroke):
    """It could not be forked, or the fork server went and took it along, whatever child made
    it go: none of its own doing."""


class Children:
    """The children of one worker process. The fork server is started by the first one."""

    def __init__(self, spend: Callable[[float], object] = lambda cpu_s: None) -> None:
        """`spend` is told what processor time each child took, once it has ended."""
        self._spend = spend
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ids = itertools.count(1)

    def start(self) -> None:
        """Start the fork server ahead of the first child. Call it from the main thread: the
        server dies with the thread that started it."""
        if not landlock.version():
            log.info(
                "no Landlock here: children can open files and connections that the worker can"
            )
        self._running_control()

    def close(self) -> None:
        """Kill every child still there."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    @contextlib.asynccontextmanager
    async def run(
        self, function: Callable[..., None], *arguments: object, limits: Limits
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """Run `function(send, *arguments)` in a child. Iterating raises TaskFailed when the
        child rejects its input, crashes or exceeds its limits, Unavailable when its source could
        not be read for now."""
        child = self._fork()
        deadline = asyncio.timeout(limits.time_s)
        try:
            async with deadline:
                request = pickle.dumps(Request(function, arguments, limits))
                child.channel.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(
                    sock=child.channel, limit=STREAM_LIMIT_BYTES
                )
                try:
                    writer.write(REQUEST_SIZE.pack(len(request)) + request)
                    yield _received(reader, child)
                finally:
                    writer.transport.abort()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
        except TimeoutError as error:
            if not deadline.expired():  # somebody else's
                raise
            raise TaskFailed(
                Failure(
                    "too_slow",
                    f"the work was stopped after {limits.time_s:.0f} s without an end in sight",
                    retryable=False,
                )
            ) from error
        finally:
            self._kill(child)
            child.channel.close()
            await asyncio.shield(child.reaped())

    def _fork(self) -> "_Child":
        try:
            return self._ask_for_child()
        except ConnectionError:  # the server is going or gone: a new one is started
            self.close()
        try:
            return self._ask_for_child()
        except ConnectionError as error:
            raise ChildLost("the fork server does not run; its error output says why") from error

    def _ask_for_child(self) -> "_Child":
        control = self._running_control()
        ours, theirs = socket.socketpair()
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        child_id = next(self._ids)
        try:
            command = COMMAND.pack(FORK, child_id)
            socket.send_fds(control, [command], [theirs.fileno(), status_write])
        except ConnectionError:
            ours.close()
            os.close(status_read)
            raise
        finally:
            theirs.close()
            os.close(status_write)
        return _Child(child_id, ours, status_read, self._spend)

    def _kill(self, child: "_Child") -> None:
        """Through the fork server, which alone knows whether the process id is still the child."""
        if self._control is not None:
            with contextlib.suppress(ConnectionError):  # no server: the children went with it
                self._control.send(COMMAND.pack(KILL, child.id))

    def _running_control(self) -> socket.socket:
        if self._control is None or self._server is None or self._server.poll() is not None:
            self.close()
            self._server, self._control = _start_server()
        return self._control


class _Child:
    def __init__(
        self,
        child_id: int,
        channel: socket.socket,
        status_fd: int,
        spend: Callable[[float], object],
    ) -> None:
        self.id = child_id
        self.channel = channel
        self._spend = spend
        self._status_fd = status_fd
        self._reaped: asyncio.Task[int | None] = asyncio.create_task(self._read_status())

    def reaped(self) -> "asyncio.Task[int | None]":
        """The wait status; `None` if there was no fork, or the fork server went first and took
        the child along."""
        return self._reaped

    async def _read_status(self) -> int | None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._status_fd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._status_fd)
            told = os.read(self._status_fd, STATUS.size)
            os.close(self._status_fd)
        if not told:
            return None
        status, cpu_s = STATUS.unpack(told)
        self._spend(cpu_s)
        return int(status)


def _start_server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                *(sys.executable, "-m", "transcoder.forkserver"),
                *(str(theirs.fileno()), str(os.getpid())),
            ],
            # Nothing of the worker's environment: a hijacked decoder finds no secrets in it.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    return server, ours


async def _received(reader: asyncio.StreamReader, child: _Child) -> AsyncIterator[Message]:
    while True:
        try:
            head, payload = messages.sizes(await reader.readexactly(messages.PREFIX.size))
            message = messages.decode(
                await reader.readexactly(head), await reader.readexactly(payload)
            )
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _sudden_end(await child.reaped()) from None
        except MalformedMessage as error:
            raise TaskFailed(
                Failure("decoder_crashed", f"the decoder talked nonsense: {error}", retryable=False)
            ) from error
        match message:
            case Finished():
                return
            case Rejected(code, text, retryable):
                raise TaskFailed(Failure(code, text, retryable))
            case Starved(reason):
                raise Unavailable(reason)
            case Broke(traceback):
                raise ChildBroke(traceback)
            case _:
                yield message


def _sudden_end(status: int | None) -> Exception:
    if status is None:
        return ChildLost("the child could not be forked, or the fork server went before it")
    if not os.WIFSIGNALED(status):
        return ChildBroke(f"the child ended without a word (wait status {status})")
    number = os.WTERMSIG(status)
    if number == signal.SIGKILL:
        text = "the system stopped the encoder, most likely because memory ran out"
    elif number == signal.SIGXCPU:
        text = "decoding this file takes more processor time than allowed"
    else:
        name = signal.Signals(number).name
        text = f"the decoder crashed on this file ({name}): the file is probably damaged"
    return TaskFailed(Failure("decoder_crashed", text, retryable=number == signal.SIGKILL))
