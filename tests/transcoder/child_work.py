"""What tests let children do. In a module of its own because children import it by name."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from media.asset import Failure
from stores.jobs.base import TaskFailed
from stores.objects.base import Source
from transcoder.messages import MediaSegment, Message, Opened
from transcoder.work import Send


def answer(send: Send, text: str) -> None:
    send(Opened(works=True, reason=text))


def describe(send: Send) -> None:
    names = sorted(os.environ)
    files = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    send(Opened(works=True, reason=f"{names} {files[:-1]} {os.nice(0)}"))


def stream(send: Send, count: int, size: int) -> None:
    for number in range(count):
        send(MediaSegment("r", number, 0, 1, 1, True, bytes([number % 256]) * size))


def die(send: Send, number: int) -> None:
    send(Opened(works=True, reason=str(os.getpid())))
    os.kill(os.getpid(), number)


def reject(send: Send) -> None:
    raise TaskFailed(Failure("not_media", "a text file", retryable=False))


def ramble(send: Send) -> None:
    raise LookupError("\N{SNOWMAN}" * 100_000 + "the last word")


def stumble(send: Send) -> None:
    raise LookupError("a bug")


def hang(send: Send) -> None:
    send(Opened(works=True, reason=str(os.getpid())))
    signal.pause()


def burn(send: Send, cpu_s: float) -> None:
    while time.process_time() < cpu_s:
        pass
    send(Opened(works=True, reason=str(time.process_time())))


def spin(send: Send) -> None:
    while True:
        time.process_time()


def allocate(send: Send, size: int) -> None:
    send(Opened(works=True, reason=str(len(bytearray(size)))))


def write_file(send: Send, path: str) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - the plainest thing an intruder would do
        file.write(b"x")


def talk_nonsense(send: Send) -> None:
    os.write(3, b"\xff" * 64)
    signal.pause()


def leave(send: Send) -> None:
    os._exit(0)


def peak_growth(send: Send, work: Callable[..., None], *arguments: object) -> None:
    """How many bytes of memory a piece of work takes at its peak; what it says is not kept."""
    with Path("/proc/self/status").open() as status:  # no file can be opened after the source
        before = _peak_bytes(status)
        work(_hear_nothing, *arguments)
        send(Opened(works=True, reason=str(_peak_bytes(status) - before)))


def _hear_nothing(_message: Message) -> None:
    pass


def _peak_bytes(status: TextIO) -> int:
    status.seek(0)
    values = dict(line.split(":", 1) for line in status.read().splitlines())
    return int(values["VmHWM"].removesuffix("kB")) << 10


def call(send: Send, source: Source, ports: Sequence[int]) -> None:
    """Which of these ports on this machine a child can still connect to."""
    reached = []
    with source.open():
        for port in ports:
            with suppress(PermissionError), socket.socket() as connection:
                connection.connect(("127.0.0.1", port))
                reached.append(port)
    send(Opened(works=True, reason=str(reached)))


def intrude(send: Send, source: Source, other: Path) -> None:
    """What a hijacked decoder would try, in its own thread and in one that it starts."""
    said: list[str] = []

    actions: tuple[Callable[[], object], ...] = (
        lambda: list(Path("/").iterdir()),
        other.read_bytes,
        other.unlink,
        other.with_suffix(".d").mkdir,
    )

    def attempt() -> None:
        for action in actions:
            try:
                action()
            except PermissionError:
                said.append("refused")

    with source.open() as file:
        said.append(f"{len(file.read())} bytes")
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        attempt()
    send(Opened(works=True, reason=", ".join(said)))
