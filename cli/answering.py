"""Granian's scheduling of requests, with a short cut: what needs no waiting is answered on the
thread that received it.

Granian hands every request over to the event loop's thread. A cache hit has nothing to wait for:
answering it where it arrives saves the hand-over and a turn of the loop. Built on parts of Granian
that are not its public interface: read `granian/_futures.py` before moving its pin.
"""

from collections.abc import Callable
from typing import Any

from granian import _futures

Schedule = Callable[[Any], None]


def answer_at_once(answer: Callable[[Any, Any], bool]) -> None:
    """For the worker process that this is called in, before it serves: a request of which
    `answer(scope, protocol)` is true goes no further."""
    for name in ("_cbsched_schedule", "_cbsched_aioschedule"):
        setattr(_futures, name, _short_cut(getattr(_futures, name), answer))


def _short_cut(
    make_schedule: Callable[..., Schedule], answer: Callable[[Any, Any], bool]
) -> Callable[..., Schedule]:
    def make(*args: Any) -> Schedule:
        schedule = make_schedule(*args)

        def answer_or_schedule(watcher: Any) -> None:
            try:
                answered = answer(watcher.scope, watcher.proto)
            except Exception:  # noqa: BLE001 -- it is met again, and told, on the usual way
                answered = False
            if not answered:
                schedule(watcher)

        return answer_or_schedule

    return make
