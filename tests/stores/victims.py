"""Processes that are killed with SIGKILL while they work."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection


@contextmanager
def victim(work: Callable[[Connection], None]) -> Iterator[Connection]:
    """Runs `work(connection)` in a process that is dead when the block has ended."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=work, args=(theirs,))
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "the process did not come up"
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()
        assert process.exitcode == -signal.SIGKILL
        process.close()


def kill_moments(count: int) -> Iterator[float]:
    """Waits that end at other points of a victim's loop each time."""
    for number in range(count):
        yield 0.01 + 0.0037 * number


def pause(seconds: float) -> None:
    time.sleep(seconds)
