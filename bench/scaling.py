"""One title over several workers of one core each: how the time falls, and what it costs.

Every worker is a `headrace worker` with one slot, pinned to a core of its own together with its
children; they share one set of stores with a `headrace api`. A perfect scaling would divide the
wall time by the number of workers and leave the CPU seconds as they are.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console

from bench.processes import TreeUsage
from bench.transcode import (
    RESULTS,
    ROOT,
    USER,
    make_source,
    wait_for_title,
    wait_until_ready,
)
from stores.jobs.bull import BullJobs
from stores.jobs.embedded import EmbeddedRedis

REPORT = ROOT / "bench" / "scaling.md"
START_TIMEOUT_S = 60
HEADINGS = ("workers", "wall s", "CPU s", "playable s", "speed-up", "CPU s of each worker")


@dataclass(frozen=True)
class Run:
    workers: int
    wall_s: float  # from the end of the upload to ready
    playable_s: float
    worker_cpu_s: tuple[float, ...]

    @property
    def cpu_s(self) -> float:
        return sum(self.worker_cpu_s)


@contextmanager
def process(
    *command: str, environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=output
        )
    try:
        yield started
    finally:
        started.terminate()
        if started.wait(60):
            print(log.read_text(), file=sys.stderr)


@contextmanager
def installation(data: Path, cores: list[int]) -> Iterator[tuple[str, list[int]]]:
    """URL of its API and the process ids of its workers, each on one of the cores."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "STREAM_SERVER_PORT": str(port),
        "STREAM_DATA_DIR": str(data),
        "STREAM_WORKER_CONCURRENCY": "1",
    }
    headrace = str(Path(sys.executable).with_name("headrace"))
    log = data / "bench.log"
    with ExitStack() as stack:
        api = stack.enter_context(process(headrace, "api", environment=environment, log=log))
        wait_until_ready(f"http://127.0.0.1:{port}", api)
        pinned = [
            stack.enter_context(
                process(
                    *("taskset", "--cpu-list", str(core), headrace, "worker"),
                    environment=environment,
                    log=log,
                )
            ).pid
            for core in cores
        ]
        asyncio.run(wait_for_workers(data, len(cores)))
        yield f"http://127.0.0.1:{port}", pinned


async def wait_for_workers(data: Path, count: int) -> None:
    jobs = BullJobs(EmbeddedRedis(data / "run").address)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                if len(await jobs.workers()) >= count:
                    return
                await asyncio.sleep(0.1)
    finally:
        await jobs.close()


def run(source: Path, cores: list[int]) -> Run:
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, pids = stack.enter_context(installation(data, cores))
        client = stack.enter_context(httpx.Client(base_url=url, headers=USER, timeout=60))
        with source.open("rb") as file:
            answer = client.post("/api/v1/upload", files={"file": (source.name, file)})
        uploaded = time.monotonic()
        answer.raise_for_status()
        with ExitStack() as measured:
            trees = [measured.enter_context(TreeUsage(pid)) for pid in pids]
            playable_s, wall_s = wait_for_title(client, answer.json()["id"], uploaded)
    return Run(len(cores), wall_s, playable_s, tuple(tree.usage.cpu_s for tree in trees))


def rows(runs: list[Run]) -> list[tuple[str, ...]]:
    """Medians, by number of workers."""
    alone_s = median(run.wall_s for run in runs if run.workers == 1)
    found: list[tuple[str, ...]] = []
    for count in sorted({run.workers for run in runs}):
        own = [run for run in runs if run.workers == count]
        wall_s = median(run.wall_s for run in own)
        each = [median(values) for values in zip(*(run.worker_cpu_s for run in own), strict=True)]
        found.append(
            (
                str(count),
                f"{wall_s:.1f}",
                f"{median(run.cpu_s for run in own):.1f}",
                f"{median(run.playable_s for run in own):.1f}",
                f"{alone_s / wall_s:.2f}",
                ", ".join(f"{cpu_s:.1f}" for cpu_s in each),
            )
        )
    return found


def report(runs: list[Run], title: str, rounds: int) -> str:
    lines = [
        "# One title over several workers",
        "",
        f"{title}, medians of {rounds} rounds in turn on one machine; {date.today()}, "
        f"{os.cpu_count()} cores, PyAV {version('av')}.",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADINGS, ["---"] * len(HEADINGS), *rows(runs))),
        "",
        "Every worker is a process with one slot, pinned to one core with its children; they share "
        "one set of stores. Wall time is from the end of the upload to `ready`; CPU seconds are "
        "those of the workers and their children. The API and Redis run beside them, on whatever "
        "core is free. Written by `make bench-scaling`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip (60)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--workers", type=int, default=2, help="at most so many (2)")
    options = parser.parse_args()
    console = Console()
    cores = sorted(os.sched_getaffinity(0))[: options.workers]
    if len(cores) < options.workers:
        sys.exit(f"this machine has {len(cores)} cores for {options.workers} workers")
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        with console.status("making the source"):
            make_source(source, options.seconds)
        for round_number in range(options.rounds):
            for count in range(1, options.workers + 1):
                with console.status(f"round {round_number + 1}: {count} workers"):
                    runs.append(run(source, cores[:count]))
                console.print(f"round {round_number + 1}: {runs[-1]}")
    title = f"The whole ladder of {options.seconds} s of 1080p30"
    page = report(runs, title, options.rounds)
    print(page)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "scaling.json").write_text(json.dumps([asdict(run) for run in runs], indent=1))
    REPORT.write_text(page)


if __name__ == "__main__":
    main()
