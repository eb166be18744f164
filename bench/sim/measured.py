"""The simulator beside real caches: the requests of `make bench-cdn`, predicted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.sim.needs import NotMeasured
from bench.sim.parameters import Tier
from bench.sim.replay import Network
from bench.sim.titles import model_library
from bench.sim.trace import Audience, requests

UNBOUNDED_BYTES = 10**15  # the real caches evicted nothing
NEVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Compared:
    tier: str
    requests: int
    predicted_requests: float
    hit_ratio: float
    predicted_hit_ratio: float


def compare(results: Path) -> list[Compared]:
    """Every pass begins with empty edges and the shield that the one before has left."""
    path = results / "cdn.json"
    if not path.exists():
        raise NotMeasured(f"{path} does not exist: run `make bench-cdn` first")
    return list(_compare(json.loads(path.read_text())))


def _compare(measured: Mapping[str, Any]) -> Iterator[Compared]:
    trace = measured["trace"]
    lengths_s = {int(length_s): share for length_s, share in trace["lengths_s"].items()}
    library = model_library(lengths_s, trace["titles"], zipf_exponent=trace["zipf_exponent"])
    tiers = [
        Tier("edges", trace["edges"], UNBOUNDED_BYTES, NEVER_S),
        Tier("shield", 1, UNBOUNDED_BYTES, NEVER_S),
    ]
    network = Network(library, tiers)
    for number, one in enumerate(measured["passes"], 1):
        network.empty_edges()
        audience = Audience(trace["viewers"], trace["edges"], one["seed"])
        for request in requests(library, audience, trace["duration_s"]):
            network.ask(request)
        for real, predicted in zip(one["tiers"], network.traffic, strict=True):
            yield Compared(
                f"{real['name']}, pass {number}",
                real["requests"],
                predicted.requests,
                real["hits"] / real["requests"],
                predicted.hit_ratio,
            )
