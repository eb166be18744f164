"""From hit ratios to tables, a page and a plot."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from matplotlib import pyplot

from bench.cache.replay import Ratios

GIB = 1 << 30
ADMITTED = ", second hit"  # behind a policy's name: only large objects that were asked for before


@dataclass(frozen=True, slots=True)
class Row:
    workload: str
    budget: int
    ratios: Mapping[str, Ratios]  # by policy


@dataclass(frozen=True, slots=True)
class Findings:
    rows: Sequence[Row]
    footprints: Mapping[str, int]  # bytes of all objects that a workload asks for
    nanoseconds: Mapping[str, float]  # per request, by policy


def headings(findings: Findings) -> tuple[str, ...]:
    return ("workload", "cache GiB", *findings.rows[0].ratios)


def rows(findings: Findings) -> Iterator[tuple[str, ...]]:
    """Objects found, and bytes found, in percent; the best of each in bold."""
    for row in findings.rows:
        best = max(ratios.objects for ratios in row.ratios.values())
        best_bytes = max(ratios.bytes for ratios in row.ratios.values())
        cells = (
            f"{_percent(ratios.objects, best)} / {_percent(ratios.bytes, best_bytes)}"
            for ratios in row.ratios.values()
        )
        yield (row.workload, f"{row.budget / GIB:g}", *cells)


def _percent(ratio: float, best: float) -> str:
    text = f"{100 * ratio:.1f}"
    return f"**{text}**" if ratio == best > 0 else text


def page(findings: Findings) -> str:
    footprints = ", ".join(f"{name} {size / 1e9:.0f}" for name, size in findings.footprints.items())
    speeds = ", ".join(f"{name} {spent:.0f}" for name, spent in findings.nanoseconds.items())
    lines = [
        "# What the origin's cache keeps",
        "",
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}. Replays through the cache as the origin uses it: what is "
        "missing or no longer fresh is fetched and put in. Objects found / bytes found, percent.",
        "",
        *_table(headings(findings), rows(findings)),
        "",
        f"CPU nanoseconds per request, a put on a miss included: {speeds}. GB of all objects that "
        f"are asked for: {footprints}.",
        "",
        "Objects have the sizes of the default ladder. Zipf and scans are independent requests, "
        "never stale. Sessions are those of `bench/sim/trace.py`, with the lifetimes that the "
        "origin gives them: as they come from viewers; what six edge caches miss of them; and what "
        "a shield behind those misses, which is hardly ever asked for twice soon. *Second hit* "
        "admits an object of more than 256 KiB when it was asked for before. SIEVE is in "
        "`bench/cache/sieve.py`. Written by `make bench-cache`.",
    ]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *body):
        yield f"| {' | '.join(row)} |"


def plot(findings: Findings, path: Path) -> None:
    workloads = list(findings.footprints)
    figure, all_axes = pyplot.subplots(2, 3, figsize=(14, 8), layout="constrained")
    for axes, workload in zip(all_axes.flat, workloads, strict=True):
        chosen = [row for row in findings.rows if row.workload == workload]
        for policy in chosen[0].ratios:
            hits = [100 * row.ratios[policy].objects for row in chosen]
            style = "--" if policy.endswith(ADMITTED) else "-"
            sizes = [row.budget / GIB for row in chosen]
            axes.semilogx(sizes, hits, style, marker="o", label=policy)
        axes.set(title=workload, xlabel="cache, GiB", ylabel="objects found, %")
    all_axes.flat[0].legend()
    figure.savefig(path)
    pyplot.close(figure)
