"""The quick form of `make bench-cdn`: two points of presence and a shield before a real origin."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cdn import proofs
from bench.cdn.proofs import Disproved
from bench.cdn.tiers import Tiers, empty_edges, tiers
from bench.cdn.viewers import put
from bench.sim.titles import model_library
from bench.sim.trace import Audience

LIBRARY = model_library({60: 1.0}, titles=1)
AUDIENCE = Audience(viewers=200)
DURATION_S = 120


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    with tiers(tmp_path_factory.mktemp("tiers")) as started:
        yield started


def test_viewers_share_cache_entries(started: Tiers, tmp_path: Path) -> None:
    proofs.one_entry_per_object(started, tmp_path, viewers=100)


def test_cold_requests_collapse(started: Tiers) -> None:
    proofs.cold_requests_collapse(started, objects=2)


def test_refusals_stay_at_the_edge(started: Tiers) -> None:
    proofs.refusals_stay_at_the_edge(started)


def test_growing_playlists_expire(started: Tiers) -> None:
    proofs.growing_playlists_expire(started)


def test_sessions_are_answered_by_the_caches(started: Tiers, tmp_path: Path) -> None:
    put(started.data, proofs.small_bodies(LIBRARY))
    first = proofs.view(started, LIBRARY, AUDIENCE, DURATION_S, tmp_path)
    with empty_edges(tmp_path, started.shield) as edges:
        empty = replace(started, edges=edges)
        second = proofs.view(empty, LIBRARY, replace(AUDIENCE, seed=2), DURATION_S, tmp_path)
    proofs.sessions_hit(first, second)


def test_a_claim_that_does_not_hold_is_told() -> None:
    with pytest.raises(Disproved, match=r"one is two: does not hold, \{'one': 2\}"):
        proofs.expect("one is two", {"one": 2}, holds=False)
