"""From what was counted to a page and to figures that the simulation is compared with."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from bench.cdn.proofs import Pass, Proof
from bench.cdn.tiers import EDGES, Counts


@dataclass(frozen=True, slots=True)
class Trace:
    """What `bench.sim` makes the same requests from."""

    titles: int
    lengths_s: Mapping[int, float]
    zipf_exponent: float
    viewers: int
    duration_s: float
    seeds: tuple[int, int]  # of the first pass and of the second
    edges: int = EDGES


def raw(trace: Trace, passes: Sequence[Pass], proofs: Sequence[Proof]) -> dict[str, Any]:
    return {
        "date": str(date.today()),
        "trace": asdict(trace),
        "passes": [
            {
                "seed": seed,
                "tiers": [
                    _tier("edges", EDGES, counted.edges),
                    _tier("shield", 1, counted.shield),
                ],
            }
            for seed, counted in zip(trace.seeds, passes, strict=True)
        ],
        "proofs": [{"claim": proof.claim, **proof.figures} for proof in proofs],
    }


def _tier(name: str, caches: int, counts: Counts) -> dict[str, Any]:
    return {
        "name": name,
        "caches": caches,
        "requests": counts.requests,
        "hits": counts.hits,
        "misses": counts.misses,
    }


def page(trace: Trace, proofs: Sequence[Proof]) -> str:
    lengths = ", ".join(f"{share:.0%} of {s} s" for s, share in trace.lengths_s.items())
    lines = [
        "# Two cache tiers before the origin",
        "",
        f"{date.today()}, {platform.machine()}, {_nginx_version()}. {trace.edges} points of "
        "presence run the viewer-request function as it is deployed, in njs; behind them a shield "
        "that proves itself to `headrace origin` by X-Origin-Verify. Made by `make bench-cdn`, "
        "which fails when a claim does not hold.",
        "",
        f"The sessions are of {trace.viewers} viewers over {trace.duration_s / 60:.0f} minutes and "
        f"{trace.titles} titles ({lengths}), whose popularity is Zipf's with exponent "
        f"{trace.zipf_exponent:g}, replayed in order as fast as it goes, each session with its own "
        "token. The second pass is of other sessions, and begins with empty edges.",
        "",
        "| claim | figures |",
        "|---|---|",
    ]
    for proof in proofs:
        figures = "; ".join(f"{name}: {value}" for name, value in proof.figures.items())
        lines.append(f"| {proof.claim} | {figures} |")
    return "\n".join(lines) + "\n"


def _nginx_version() -> str:
    done = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
    return done.stderr.strip().removeprefix("nginx version: ")
