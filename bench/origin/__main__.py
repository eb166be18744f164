import argparse
import json
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import bench.origin
from bench.origin import report
from bench.origin.load import Measured, measure
from bench.origin.peers import PEERS, Peer
from bench.origin.titles import Library, make_library

RESULTS = Path(__file__).parents[1] / "results"  # raw figures and the plot, not committed
REPORT = Path(__file__).parents[1] / "origin.md"
WARM_UP_S = 2

Results = defaultdict[str, defaultdict[str, list[Measured]]]


def measure_peer(
    name: str, library: Library, seconds: int, results: Results, progress: Progress
) -> None:
    with tempfile.TemporaryDirectory() as folder, PEERS[name](library, Path(folder)) as peer:
        task = progress.add_task(name, total=len(library.workloads))
        for workload, keys in library.workloads.items():
            results[workload][name].append(_measured(peer, keys, seconds, Path(folder)))
            progress.advance(task)
        progress.remove_task(task)


def _measured(peer: Peer, keys: list[str], seconds: int, folder: Path) -> Measured:
    paths = [peer.path(key) for key in keys]
    measure(peer.pid, peer.url, sorted(set(paths)), WARM_UP_S, folder)  # all into its cache
    return measure(peer.pid, peer.url, paths, seconds, folder)


def show(console: Console, results: Results) -> None:
    for headings, rows in (
        (report.HEADINGS, report.rows(results)),
        (report.RATIO_HEADINGS, report.ratio_rows(results)),
    ):
        table = Table(*headings)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=bench.origin.__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of every server, in turn (3)")
    parser.add_argument("--seconds", type=int, default=4, help="per workload (4)")
    options = parser.parse_args()
    console = Console()
    results: Results = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        with console.status("packaging a title"):
            library = make_library(Path(folder))
        with Progress(console=console) as progress:
            rounds = progress.add_task("rounds", total=options.rounds * len(PEERS))
            for _ in range(options.rounds):
                for name in PEERS:
                    measure_peer(name, library, options.seconds, results, progress)
                    progress.advance(rounds)
    show(console, results)
    RESULTS.mkdir(exist_ok=True)
    report.plot(results, RESULTS / "origin.png")
    raw = {
        workload: {peer: [asdict(run) for run in runs] for peer, runs in by_peer.items()}
        for workload, by_peer in results.items()
    }
    (RESULTS / "origin.json").write_text(json.dumps(raw, indent=1))
    REPORT.write_text(report.page(results, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
