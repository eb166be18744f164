import pytest

from bench.sim.parameters import Tier
from bench.sim.replay import Network, replay, shared_lifetime_s
from bench.sim.titles import Library, model_library
from bench.sim.trace import Request
from server.origin import fill

LIBRARY = model_library({60: 1.0}, 3)
GROWING = model_library({60: 1.0}, 3, growing_share=1.0)
NEVER_S = 1e9


def tiers(shield_idle_s: float = NEVER_S) -> list[Tier]:
    return [Tier("edges", 4, 10**9, NEVER_S), Tier("shield", 1, 10**9, shield_idle_s)]


def ask(
    asked: list[tuple[float, int]],
    name: str = "audio/playlist.m3u8",
    library: Library = LIBRARY,
    below: list[Tier] | None = None,
) -> list[tuple[float, float, float]]:
    """(requests, hits, collapsed) of each tier, when edges ask at times for one object."""
    key = f"{library.titles[0].prefix}/{name}"
    trace = [Request(time_s, 0, edge, key) for time_s, edge in asked]
    found = replay(trace, library, below or tiers())
    return [(traffic.requests, traffic.hits, traffic.collapsed) for traffic in found]


@pytest.mark.parametrize(
    ("cache_control", "lifetime_s"),
    [
        (fill.IMMUTABLE, 31536000),
        (fill.FINAL, 86400),
        (fill.GROWING, 1),
        ("public, max-age=7", 7),
        ("no-store", 0),
    ],
)
def test_lifetimes_are_those_of_a_shared_cache(cache_control: str, lifetime_s: float) -> None:
    assert shared_lifetime_s(cache_control) == lifetime_s


def test_edges_share_what_the_shield_has() -> None:
    assert ask([(0, 0), (10, 1), (20, 2), (30, 0)]) == [(4, 1, 0), (3, 2, 0)]


def test_requests_during_a_fetch_wait_for_it() -> None:
    assert ask([(0, 0), (0.01, 0), (0.02, 1), (5, 1)]) == [(4, 2, 1), (2, 1, 1)]


def test_an_object_expires_in_all_tiers_at_once() -> None:
    """As Age has it: the copy that edge 1 takes from the shield is as old as the shield's."""
    asked = [(0.0, 0), (0.8, 1), (0.9, 1), (1.01, 1)]
    assert ask(asked, library=GROWING) == [(4, 1, 0), (3, 1, 0)]


def test_what_nobody_asks_for_is_gone() -> None:
    asked = [(0.0, 0), (50.0, 1), (149.0, 2), (260.0, 3)]
    assert ask(asked, below=tiers(shield_idle_s=100)) == [(4, 0, 0), (4, 2, 0)]


def test_edges_of_a_region_share_a_regional_cache() -> None:
    regional = [tiers()[0], Tier("regional", 2, 10**9, NEVER_S), tiers()[1]]
    asked = [(0.0, 0), (1.0, 1), (2.0, 2), (3.0, 3)]
    assert ask(asked, below=regional) == [(4, 0, 0), (4, 2, 0), (2, 1, 0)]


def test_traffic_counts_bytes_and_starts_after_the_warm_up() -> None:
    title = LIBRARY.titles[0]
    key = f"{title.prefix}/{title.package.rungs[0].segments[3]}"
    size = title.package.sizes[title.package.rungs[0].segments[3]]
    trace = [Request(time_s, 0, 0, key) for time_s in (0.0, 1.0, 2.0)]
    edge, shield = replay(trace, LIBRARY, tiers(), warm_up_s=0.5)
    assert (edge.requests, edge.bytes, edge.hit_bytes) == (2, 2 * size, 2 * size)
    assert (edge.hit_ratio, edge.byte_hit_ratio, edge.misses) == (1, 1, 0)
    assert shield.requests == 0
    assert edge.per_second(2).requests == 1


def test_network_says_when_the_origin_is_asked() -> None:
    network = Network(LIBRARY, tiers())
    key = f"{LIBRARY.titles[0].prefix}/index.m3u8"
    assert [network.ask(Request(t, 0, edge, key)) for t, edge in [(0, 0), (1, 1), (2, 1)]] == [
        False,
        True,
        True,
    ]
