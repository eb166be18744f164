import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import bench.cdn
from bench.cdn import proofs, report
from bench.cdn.proofs import Disproved, Pass, Proof
from bench.cdn.report import Trace
from bench.cdn.tiers import empty_edges, tiers
from bench.cdn.viewers import put
from bench.sim.titles import Library, model_library
from bench.sim.trace import Audience

RESULTS = Path(__file__).parents[1] / "results"  # raw figures, not committed
REPORT = Path(__file__).parents[1] / "cdn.md"
VIEWERS_WITH_TOKENS = 1000
COLD_OBJECTS = 10
LENGTHS_S = {180: 0.6, 600: 0.4}  # seconds -> share of the titles
ZIPF_EXPONENT = 1.0
SEEDS = (1, 2)


def single_proofs(folder: Path) -> Iterator[Proof]:
    with tiers(folder) as started:
        yield proofs.one_entry_per_object(started, folder, VIEWERS_WITH_TOKENS)
        yield proofs.cold_requests_collapse(started, COLD_OBJECTS)
        yield proofs.refusals_stay_at_the_edge(started)
        yield proofs.growing_playlists_expire(started)


def view_twice(folder: Path, library: Library, trace: Trace) -> list[Pass]:
    with tiers(folder) as started, empty_edges(folder / "second", started.shield) as second:
        put(started.data, proofs.small_bodies(library))
        stages = zip(trace.seeds, (started, replace(started, edges=second)), strict=True)
        return [
            proofs.view(
                stage, library, Audience(trace.viewers, seed=seed), trace.duration_s, folder
            )
            for seed, stage in stages
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=bench.cdn.__doc__)
    parser.add_argument("--titles", type=int, default=10, help="of the catalogue (10)")
    parser.add_argument("--viewers", type=int, default=600, help="at a time (600)")
    parser.add_argument("--minutes", type=float, default=20, help="of viewing, each pass (20)")
    options = parser.parse_args()
    library = model_library(LENGTHS_S, options.titles, zipf_exponent=ZIPF_EXPONENT)
    trace = Trace(
        titles=options.titles,
        lengths_s=LENGTHS_S,
        zipf_exponent=ZIPF_EXPONENT,
        viewers=options.viewers,
        duration_s=options.minutes * 60,
        seeds=SEEDS,
    )
    console, proved = Console(), list[Proof]()

    def show(proof: Proof) -> None:
        proved.append(proof)
        console.print(f"[bold]{proof.claim}")
        console.print("".join(f"  {name}: {value}\n" for name, value in proof.figures.items()))

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        try:
            for proof in single_proofs(Path(one)):
                show(proof)
            with console.status("replaying sessions, twice"):
                passes = view_twice(Path(other), library, trace)
            for proof in proofs.sessions_hit(*passes):
                show(proof)
        except Disproved as error:
            sys.exit(str(error))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cdn.json").write_text(json.dumps(report.raw(trace, passes, proved), indent=1))
    REPORT.write_text(report.page(trace, proved))


if __name__ == "__main__":
    main()
