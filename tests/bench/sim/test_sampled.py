import numpy as np
import pytest

from bench.sim import che
from bench.sim.parameters import Tier
from bench.sim.replay import Traffic, replay
from bench.sim.sample import Sample, draw, watch
from bench.sim.sampled import short_lived, simulate
from bench.sim.titles import model_library
from bench.sim.trace import MEAN_BREAK_S, Audience, requests

GB = 10**9
NEVER_S = 1e9
VIEWERS, EDGES = 240, 4


def test_a_sample_agrees_with_every_request_of_the_trace() -> None:
    library = model_library({120: 0.6, 300: 0.4}, 400, growing_share=0.05)
    tiers = [Tier("edges", EDGES, 3 * GB, NEVER_S), Tier("shield", 1, 15 * GB, NEVER_S)]
    trace = requests(library, Audience(VIEWERS, EDGES), 1500)
    full = [traffic.per_second(700) for traffic in replay(trace, library, tiers, 800)]
    sample = draw(library, watch(library), VIEWERS / EDGES)
    samples = [simulate(tiers, sample, seed) for seed in range(3)]
    for exact, *sampled in zip(full, *samples, strict=True):
        assert mean(sampled, "requests") == pytest.approx(exact.requests, rel=0.1)
        assert mean(sampled, "bytes") == pytest.approx(exact.bytes, rel=0.15)
        assert mean(sampled, "hit_ratio") == pytest.approx(exact.hit_ratio, abs=0.05)


def mean(traffic: list[Traffic], name: str) -> float:
    return float(sum(getattr(one, name) for one in traffic) / len(traffic))


@pytest.mark.parametrize("length_s", [3, 60, 900])
def test_a_sample_asks_for_as_much_as_the_viewers(length_s: int) -> None:
    library = model_library({length_s: 1.0}, 30)
    watched = watch(library)
    sample = draw(library, watched, viewers_per_edge=100)
    (one,) = watched.values()
    sessions = 100 / (one.duration_s + MEAN_BREAK_S)
    sizes = library.titles[0].package.sizes
    assert sample.rates @ sample.weights == pytest.approx(sessions * sum(one.requests.values()))
    assert sample.costs.sum() == pytest.approx(30 * sum(sizes.values()))


def zipf_sample(objects: int, size: float) -> Sample:
    rates = 20 / np.arange(1, objects + 1)
    ones = np.ones(objects)
    return Sample(rates, ones, size * ones, NEVER_S * ones)


def test_simulated_caches_hit_as_often_as_che_says() -> None:
    sample = zipf_sample(500, 1000)
    capacity = 60 * 1000
    (found,) = simulate([Tier("edges", 40, capacity, NEVER_S)], sample, seed=1)
    time_s = che.characteristic_time_s(sample.rates, sample.costs, capacity)
    expected = (sample.rates @ che.hit_ratios(sample.rates, time_s)) / sample.rates.sum()
    assert found.hit_ratio == pytest.approx(expected, abs=0.01)
    assert found.requests == pytest.approx(40 * sample.rates.sum())


def test_an_object_of_weight_stands_for_as_many() -> None:
    one = zipf_sample(100, 1000)
    many = Sample(one.rates, 50 * one.weights, one.sizes, one.lifetimes_s)
    (alone,) = simulate([Tier("edges", 20, 30_000, NEVER_S)], one, seed=1)
    (together,) = simulate([Tier("edges", 20, 50 * 30_000, NEVER_S)], many, seed=1)
    assert together.hits == pytest.approx(50 * alone.hits)


def test_what_nobody_asks_for_in_time_is_gone() -> None:
    ones = np.ones(1)
    sample = Sample(0.01 * ones, ones, ones, NEVER_S * ones)
    (found,) = simulate([Tier("edges", 400, GB, idle_s=100)], sample, seed=1)
    assert found.hit_ratio == pytest.approx(1 - np.exp(-1), abs=0.03)


def test_a_playlist_that_expires_is_fetched_once_per_lifetime_however_many_ask() -> None:
    ones = np.ones(1)
    tiers = [Tier("edges", 100, GB, NEVER_S), Tier("shield", 1, GB, NEVER_S)]
    edges, shield = short_lived(tiers, Sample(50 * ones, 2 * ones, 300 * ones, ones))
    assert edges.requests == 2 * 100 * 50
    assert shield.requests == pytest.approx(2 * 100, rel=0.01)
    assert shield.misses == pytest.approx(2, rel=0.01)
    assert shield.bytes == pytest.approx(300 * shield.requests)


def test_final_playlists_expire_in_the_simulation_too() -> None:
    ones = np.ones(200)
    tiers = [Tier("edges", 10, GB, 4000), Tier("shield", 1, GB, 4000)]
    sample = Sample(ones, ones, ones, 1000 * ones)
    _, shield = simulate(tiers, sample, seed=3)
    assert shield.misses == pytest.approx(200 / 1000, rel=0.35)
