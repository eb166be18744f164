"""Processes that are killed with SIGKILL while they work."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from tests.stores.forks import forks, in_environment


@contextmanager
def victim(work: Callable[[Connection], None]) -> Iterator[Connection]:
    """Runs `work(connection)` in a process that is dead when the block has ended."""
    ours, theirs = forks.Pipe()
    process = forks.Process(target=in_environment, args=(dict(os.environ), work, theirs))
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
