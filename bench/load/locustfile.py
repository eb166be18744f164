"""The load as Locust runs it; `python -m bench.load` starts it with what it needs.

The master, or the only process, holds the run against the targets when it is over.
"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events, runners
from locust.env import Environment
from locust.runners import WorkerRunner

from bench.load.figures import Answers, figures, origin_answers, rows
from bench.load.guest import options_of
from bench.load.operators import Operator
from bench.load.shapes import DURATIONS_S, SHAPES
from bench.load.targets import DEFAULT_TARGETS, InvalidTargets, load_targets, missed
from bench.load.viewers import Viewer

__all__ = ["Operator", "Users", "Viewer"]

LIBRARY = "load"
# Seconds, of 1 each: workers may share a machine with what they load, and be late.
runners.HEARTBEAT_LIVENESS = 30

cdn_answers: Answers = Counter()  # by X-Cache, in this process
origin_before: Answers = Counter()


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("headrace")
    group.add_argument("--shape", choices=SHAPES, default="steady")
    group.add_argument("--duration", type=float, help="seconds; by default as the shape says")
    group.add_argument("--operators", type=int, default=2, help="of all users")
    group.add_argument("--library", default=LIBRARY, help="the user whose titles are watched")
    group.add_argument("--media-host", nargs="*", default=[], help="that playback URLs lead to")
    # Workers get the options from the master as plain values.
    group.add_argument("--targets", default=str(DEFAULT_TARGETS))
    group.add_argument("--figures", help="file to write what was measured to")


class Users(LoadTestShape):
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        options = options_of(self.runner.environment)
        over = self.get_run_time() / (options.duration or DURATIONS_S[options.shape])
        if over >= 1:
            return None
        users = max(round(options.num_users * SHAPES[options.shape](over)), options.operators + 1)
        return users, options.num_users  # a second: the shape alone says how quickly they come


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    Operator.fixed_count = options_of(environment).operators
    if isinstance(environment.runner, WorkerRunner):
        return
    try:
        load_targets(Path(options_of(environment).targets))
    except InvalidTargets as error:
        sys.exit(str(error))
    assert environment.host is not None, "--host has to be given"
    origin_before.update(origin_answers(environment.host))


@events.request.add_listener
def note_cdn(response: Any = None, **_: Any) -> None:
    told = None if response is None or response.headers is None else response.headers.get("x-cache")
    if told:
        cdn_answers["hits" if "hit" in told.lower() else "misses"] += 1


@events.report_to_master.add_listener
def send_answers(data: dict[str, Any], **_: Any) -> None:
    data["cdn_answers"] = dict(cdn_answers)
    cdn_answers.clear()


@events.worker_report.add_listener
def add_answers(data: dict[str, Any], **_: Any) -> None:
    cdn_answers.update(data["cdn_answers"])


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    options = options_of(environment)
    assert environment.host is not None
    answers = cdn_answers or origin_answers(environment.host) - origin_before
    measured = figures(environment.stats, answers)
    targets = load_targets(Path(options.targets))
    failed = list(missed(targets, measured))
    for line in failed:
        print(f"missed: {line}", file=sys.stderr)
    if options.figures is not None:
        told = {
            "figures": measured,
            "targets": targets,
            "missed": failed,
            "requests": list(rows(environment.stats)),
        }
        Path(options.figures).write_text(json.dumps(told, indent=1))
    environment.process_exit_code = 1 if failed else 0
