import math
from collections.abc import Callable, Iterator

import pytest

from bench.cache.replay import LARGE_BYTES, SecondHit, nanoseconds, replay
from bench.cache.sieve import Sieve
from bench.cache.workloads import FOR_EVER, REQUESTS, Access, scan, zipf
from native.cache import ENTRY_OVERHEAD_BYTES, LruCache, S3FifoCache
from server.origin.fill import GROWING_LIFE, Life

COST = 1000 + 1 + ENTRY_OVERHEAD_BYTES


def accesses(keys: str, life: Life = FOR_EVER, size: int = 1000) -> list[Access]:
    return [Access(time_s, key, size, life) for time_s, key in enumerate(keys)]


def test_replay_counts_objects_and_bytes() -> None:
    mixed = [*accesses("aa"), *accesses("bb", size=3000), *accesses("a")]
    found = replay(mixed, LruCache(1 << 20, 1 << 18))
    assert found.objects == 3 / 5
    assert found.bytes == 5000 / 9000


def test_an_object_that_is_no_longer_fresh_is_fetched_anew() -> None:
    found = replay(accesses("aaaa", GROWING_LIFE), LruCache(1 << 20, 1 << 18))
    assert found.objects == 0


def test_second_hit_admits_a_large_object_when_it_comes_back() -> None:
    large = accesses("abaab", size=LARGE_BYTES + 1)
    assert replay(large, LruCache(1 << 24, 1 << 22), SecondHit(10)).objects == 1 / 5
    assert replay(accesses("aab"), LruCache(1 << 24, 1 << 22), SecondHit(10)).objects == 1 / 3
    assert replay(large, LruCache(1 << 24, 1 << 22), SecondHit(1)).objects == 0


def test_sieve_spares_what_was_used_once_per_round_of_the_hand() -> None:
    sieve = Sieve(3 * COST, COST)
    for key in "abc":
        sieve.put(key, 1, 1000, math.inf)
    assert sieve.get("a", 0) == 1
    for key in "de":
        sieve.put(key, 1, 1000, math.inf)
    assert [key for key in "abcde" if sieve.get(key, 0)] == ["a", "d", "e"]


def test_sieve_keeps_to_its_budget_and_forgets_what_expired() -> None:
    sieve = Sieve(3 * COST, 2 * COST)
    assert not sieve.put("large", 1, 2 * COST, math.inf)
    sieve.put("a", 1, 1000, 5)
    assert (sieve.get("a", 4), sieve.get("a", 5)) == (1, None)
    for number in range(50):
        sieve.put(str(number % 10), number, 1000, math.inf)
    assert sum(sieve.get(str(number), 0) is not None for number in range(10)) == 3


@pytest.mark.parametrize("make", [zipf, scan])
def test_s3fifo_finds_more_than_lru(make: Callable[[float, int], Iterator[Access]]) -> None:
    trace = list(make(1.0, REQUESTS // 20))
    lru, s3fifo = (replay(trace, policy(1 << 30, 1 << 27)) for policy in (LruCache, S3FifoCache))
    assert s3fifo.objects > 1.1 * lru.objects
    assert s3fifo.bytes > 1.1 * lru.bytes


def test_nanoseconds_are_those_of_a_request() -> None:
    assert 0 < nanoseconds(accesses("abcd" * 2000), LruCache(1 << 20, 1 << 18)) < 1e6
