"""Contestants that start together, in threads or in processes, round after round."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Barrier as ProcessBarrier
from typing import TypeVar

from tests.stores.forks import forks, in_environment

R = TypeVar("R")

RUNNERS = ("threads", "processes")
COUNT = {"threads": 8, "processes": 4}

_start: threading.Barrier | ProcessBarrier | None = None


def _line_up(start: threading.Barrier | ProcessBarrier) -> None:
    global _start
    _start = start


def wait_for_start() -> None:
    assert _start is not None
    _start.wait(timeout=120)


def race(runners: str, contestant: Callable[[int], R], count: int | None = None) -> list[R]:
    """What `contestant(number)` returned in each runner; it calls `wait_for_start`."""
    count = count or COUNT[runners]
    with _pool(runners, count) as pool:
        futures = [pool.submit(_run, contestant, number) for number in range(count)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):  # told by another's error
            raise error
    return [future.result() for future in futures]


def _run(contestant: Callable[[int], R], number: int) -> R:
    try:
        return contestant(number)
    except BaseException:
        assert _start is not None
        _start.abort()  # nobody waits for this one any more
        raise


def _pool(runners: str, count: int) -> Executor:
    if runners == "threads":
        return ThreadPoolExecutor(count, initializer=_line_up, initargs=(threading.Barrier(count),))
    line_up = (dict(os.environ), _line_up, forks.Barrier(count))
    return ProcessPoolExecutor(
        count, mp_context=forks, initializer=in_environment, initargs=line_up
    )
