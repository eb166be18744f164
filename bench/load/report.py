"""From what a run measured to a table and a page."""

import os
import platform
from collections.abc import Iterator, Mapping
from datetime import date
from importlib.metadata import version
from typing import Any

from rich.table import Table

from bench.load.targets import AT_LEAST

Told = dict[str, Any]  # what the locustfile writes

TARGET_HEADINGS = ("target", "wanted", "measured", "")
REQUEST_HEADINGS = ("", "count", "errors", "p50 ms", "p95 ms", "p99 ms")


def table(told: Told) -> Table:
    shown = Table(*TARGET_HEADINGS)
    for row in _targets(told):
        shown.add_row(*row)
    return shown


def page(told: Told, options: Mapping[str, Any], others: float) -> str:
    """`others` is the load average before the run: what else the machine had to do."""
    lines = [
        "# Load on one machine",
        "",
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, which the service, its "
        f"encoders and {options['users']} users share, with a load of {others:.1f} by others "
        f"before; shape {options['shape']}, {options['duration']:g} s. Python "
        f"{platform.python_version()}, Granian {version('granian')}, Locust {version('locust')}.",
        "",
        *_rows(TARGET_HEADINGS, _targets(told)),
        "",
        *_rows(REQUEST_HEADINGS, _requests(told)),
        "",
        "Rows that are no requests: `viewer` is what viewers saw (`played` once per session), "
        "`upload` the answered uploads by size, `operator` the time from an upload's answer to "
        "the title's first seconds. Written by `make load`.",
    ]
    return "\n".join(lines) + "\n"


def _targets(told: Told) -> Iterator[tuple[str, ...]]:
    missed = {line.partition(":")[0] for line in told["missed"]}
    for name, limit in told["targets"].items():
        wanted = f"{'at least' if name in AT_LEAST else 'at most'} {limit:g}"
        figure = told["figures"][name]
        measured = "nothing" if figure is None else f"{figure:.4g}"
        yield name, wanted, measured, "missed" if name in missed else "kept"


def _requests(told: Told) -> Iterator[tuple[str, ...]]:
    for row in told["requests"]:
        numbers = (row[key] for key in ("count", "errors", "p50", "p95", "p99"))
        yield f"{row['kind']} {row['name']}", *(f"{number:g}" for number in numbers)


def _rows(headings: tuple[str, ...], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (headings, ("---",) * len(headings), *body):
        yield f"| {' | '.join(row)} |"
