"""What tests let children do. In a module of its own because children import it by name."""

import os
import signal
import time
from pathlib import Path

from media.asset import Failure
from stores.jobs.base import TaskFailed
from transcoder.messages import MediaSegment, Opened
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


def stumble(send: Send) -> None:
    raise LookupError("a bug")


def hang(send: Send) -> None:
    send(Opened(works=True, reason=str(os.getpid())))
    signal.pause()


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
