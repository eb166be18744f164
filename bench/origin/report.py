"""From measurements to a table of ratios, a page and a plot."""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

from matplotlib import pyplot

from bench.origin.load import CONNECTIONS, Measured
from bench.origin.titles import SESSION_MIX

# workload -> peer -> one measurement per round
Results = Mapping[str, Mapping[str, Sequence[Measured]]]

OURS, YARDSTICK = "headrace", "nginx secure_link"
AIMS = {"1 KB": 0.6, "256 KB": 1.3, "2 MB": 1.0, SESSION_MIX: 1.0}
HEADINGS = ("workload", "server", "CPU us/request", "requests/s", "GB/s", "p50 ms", "p99 ms")
RATIO_HEADINGS = ("workload", "requests per CPU second, Headrace / nginx", "aim")


def cpu_us(runs: Sequence[Measured]) -> float:
    return median(run.cpu_us for run in runs)


def rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Medians over the rounds."""
    for workload, by_peer in results.items():
        for peer, runs in by_peer.items():
            rate = median(run.requests / run.duration_s for run in runs)
            volume = median(run.bytes / run.duration_s for run in runs) / 1e9
            times = (median(run.p50_ms for run in runs), median(run.p99_ms for run in runs))
            numbers = (f"{cpu_us(runs):.1f}", f"{rate:.0f}", f"{volume:.2f}")
            yield (workload, peer, *numbers, *(f"{time:.2f}" for time in times))


def ratio_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for workload, by_peer in results.items():
        ratios = sorted(
            theirs.cpu_us / ours.cpu_us
            for ours, theirs in zip(by_peer[OURS], by_peer[YARDSTICK], strict=True)
        )
        aim = AIMS.get(workload)
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield workload, spread, "" if aim is None else f"{aim:.1f}"


def page(results: Results, rounds: int, seconds: int) -> str:
    lines = [
        "# The origin beside nginx, Varnish and Starlette",
        "",
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores: server on one, client on "
        f"the other; {rounds} rounds in turn of {seconds} s each, wrk with {CONNECTIONS} "
        f"connections and twelve headers as CloudFront sends them. Python "
        f"{platform.python_version()}, Granian {version('granian')}, {_nginx_version()}.",
        "",
        *_table(RATIO_HEADINGS, ratio_rows(results)),
        "",
        *_table(HEADINGS, rows(results)),
        "",
        "Medians; CPU is user and system time of all processes of the server. Headrace verifies "
        "its token and answers from memory; nginx checks secure_link and sends files with "
        "sendfile from the page cache; Varnish answers from memory and StaticFiles from files, "
        "both without any token. The session mix is a title of 30 s packaged by Headrace in four "
        "rungs, and copies of it, watched by Zipf: playlists, init segments, segments. On loopback "
        "the kernel copies every byte once more for the client, on the client's core. Written by "
        "`make bench-origin`.",
    ]
    return "\n".join(lines) + "\n"


def _table(headings: Sequence[str], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (headings, ["---"] * len(headings), *body):
        yield f"| {' | '.join(row)} |"


def _nginx_version() -> str:
    done = subprocess.run(["nginx", "-v"], check=True, capture_output=True, text=True)
    return done.stderr.strip().rpartition(": ")[2]


def plot(results: Results, path: Path) -> None:
    """CPU per request of every peer, as parts of nginx's."""
    figure, axes = pyplot.subplots(figsize=(10, 5), layout="constrained")
    peers = list(next(iter(results.values())))
    width = 0.8 / len(peers)
    for index, peer in enumerate(peers):
        heights = [
            cpu_us(by_peer[YARDSTICK]) / cpu_us(by_peer[peer]) for by_peer in results.values()
        ]
        axes.bar([n + index * width for n in range(len(results))], heights, width, label=peer)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks([n + 0.4 - width / 2 for n in range(len(results))], list(results))
    axes.set_ylabel("requests per CPU second, nginx = 1")
    axes.legend()
    figure.savefig(path)
    pyplot.close(figure)
