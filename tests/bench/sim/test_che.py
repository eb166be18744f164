"""Che's approximation and the real LRU are each other's oracle on independent requests."""

from itertools import accumulate
from random import Random

import numpy as np
import pytest

from bench.sim import che
from native.cache import ENTRY_OVERHEAD_BYTES, LruCache

OBJECTS, REQUESTS, KEY_BYTES = 3000, 120_000, 6


@pytest.mark.parametrize("exponent", [0.8, 1.0])
@pytest.mark.parametrize("share", [0.02, 0.2])
def test_lru_hits_as_often_as_che_says(exponent: float, share: float) -> None:
    random = Random(7)
    weights = [rank**-exponent for rank in range(1, OBJECTS + 1)]
    sizes = [random.randrange(10_000, 100_000) for _ in weights]
    costs = np.array(sizes, float) + KEY_BYTES + ENTRY_OVERHEAD_BYTES
    budget = int(share * costs.sum())
    cache: LruCache[bool] = LruCache(budget, budget)
    hits = 0
    chosen = random.choices(range(OBJECTS), cum_weights=list(accumulate(weights)), k=REQUESTS)
    for number, rank in enumerate(chosen):
        key = f"{rank:0{KEY_BYTES}}"
        if cache.get(key, 0) is not None:
            hits += number >= REQUESTS // 2
        else:
            cache.put(key, True, sizes[rank], 1)
    rates = np.array(weights) / sum(weights)
    time_s = che.characteristic_time_s(rates, costs, budget)
    expected = float(rates @ che.hit_ratios(rates, time_s))
    assert hits / (REQUESTS / 2) == pytest.approx(expected, abs=0.01)


def test_a_cache_that_holds_everything_never_forgets() -> None:
    rates, costs = np.array([1.0, 0.0, 2.0]), np.array([5.0, 100.0, 5.0])
    time_s = che.characteristic_time_s(rates, costs, 10)
    assert list(che.hit_ratios(rates, time_s)) == [1, 0, 1]
