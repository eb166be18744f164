from __future__ import annotations  # Cache[...] exists for the type checker only

from collections import OrderedDict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.cache import ENTRY_OVERHEAD_BYTES, Cache, LruCache, S3FifoCache


class Reference:
    """The same promises, obviously kept, and LRU's order; `queue` runs from oldest to newest."""

    reserved_share = 0

    def __init__(self, budget_bytes: int, largest_bytes: int) -> None:
        self.reserved_bytes = budget_bytes // self.reserved_share if self.reserved_share else 0
        self.budget_bytes = budget_bytes
        self.largest_bytes = largest_bytes
        self.entries: dict[str, tuple[int, int, float]] = {}
        self.queue: list[str] = []
        self.counts = {"hits": 0, "misses": 0, "evictions": 0, "rejections": 0}

    @property
    def bytes(self) -> int:
        return sum(cost for _, cost, _ in self.entries.values())

    def get(self, key: str, now_s: float) -> int | None:
        if key in self.entries and self.entries[key][2] <= now_s:
            self.remove(key)
        if key not in self.entries:
            self.counts["misses"] += 1
            return None
        self.counts["hits"] += 1
        self.touch(key)
        return self.entries[key][0]

    def put(self, key: str, value: int, size: int, expires_at_s: float) -> bool:
        if key in self.entries:
            self.remove(key)
        cost = size + len(key) + ENTRY_OVERHEAD_BYTES
        if cost > self.largest_bytes:
            self.counts["rejections"] += 1
            return False
        while self.bytes + cost > self.budget_bytes - self.reserved_bytes:
            self.make_room()
            self.counts["evictions"] += 1
        self.entries[key] = (value, cost, expires_at_s)
        self.enter(key)
        return True

    def peek(self, key: str) -> int | None:
        return self.entries[key][0] if key in self.entries else None

    def discard(self, key: str) -> None:
        if key in self.entries:
            self.remove(key)

    def purge(self, prefix: str) -> int:
        doomed = [key for key in self.entries if key.startswith(prefix)]
        for key in doomed:
            self.remove(key)
        return len(doomed)

    def touch(self, key: str) -> None:
        self.queue.remove(key)
        self.queue.append(key)

    def enter(self, key: str) -> None:
        self.queue.append(key)

    def make_room(self) -> None:
        self.remove(self.queue[0])

    def remove(self, key: str) -> None:
        self.queue.remove(key)
        del self.entries[key]


class ReferenceS3Fifo(Reference):
    reserved_share = 64

    def __init__(self, budget_bytes: int, largest_bytes: int) -> None:
        super().__init__(budget_bytes, largest_bytes)
        self.probation: list[str] = []
        self.ghosts: OrderedDict[str, int] = OrderedDict()
        self.uses: dict[str, int] = {}
        self.replaced_uses: int | None = None

    def put(self, key: str, value: int, size: int, expires_at_s: float) -> bool:
        self.replaced_uses = self.uses.get(key)
        return super().put(key, value, size, expires_at_s)

    def touch(self, key: str) -> None:
        self.uses[key] = min(self.uses[key] + 1, 3)

    def enter(self, key: str) -> None:
        self.uses[key] = self.replaced_uses or 0
        known = self.replaced_uses is not None or self.ghosts.pop(key, None) is not None
        (self.queue if known else self.probation).append(key)

    def make_room(self) -> None:
        while True:
            on_probation = sum(self.entries[key][1] for key in self.probation)
            if self.probation and (on_probation > self.budget_bytes // 20 or not self.queue):
                key = self.probation[0]
                if not self.uses[key]:
                    self.remove(key)
                    self.remember(key)
                    return
                self.probation.pop(0)
            else:
                key = self.queue[0]
                if not self.uses[key]:
                    self.remove(key)
                    return
                self.uses[key] -= 1
                self.queue.pop(0)
            self.queue.append(key)

    def remember(self, key: str) -> None:
        self.ghosts[key] = len(key) + ENTRY_OVERHEAD_BYTES
        while sum(self.ghosts.values()) > self.reserved_bytes or len(self.ghosts) > len(
            self.entries
        ):
            self.ghosts.popitem(last=False)

    def remove(self, key: str) -> None:
        (self.probation if key in self.probation else self.queue).remove(key)
        del self.uses[key], self.entries[key]


CACHES: list[tuple[type[Cache[int]], type[Reference]]] = [
    (LruCache, Reference),
    (S3FifoCache, ReferenceS3Fifo),
]
KEYS = st.sampled_from(["a", "b", "a/1", "a/2", "b/1", "b/22", "c" * 40])
STEPS = st.one_of(
    st.tuples(st.just("get"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("put"), KEYS, st.integers(), st.integers(0, 1500), st.integers(0, 9)),
    st.tuples(st.sampled_from(["peek", "discard"]), KEYS),
    st.tuples(st.just("purge"), st.sampled_from(["", "a", "a/", "b/2", "z"])),
)


@pytest.mark.parametrize(("policy", "reference_policy"), CACHES)
@given(st.lists(STEPS, max_size=100), st.integers(2, 40_000), st.integers(1, 3000))
def test_cache_behaves_like_the_reference(
    policy: type[Cache[int]],
    reference_policy: type[Reference],
    steps: list[tuple[object, ...]],
    budget: int,
    largest: int,
) -> None:
    largest = min(largest, budget - budget // 64)
    cache = policy(budget, largest)
    reference = reference_policy(budget, largest)
    for name, *arguments in steps:
        assert getattr(cache, str(name))(*arguments) == getattr(reference, str(name))(*arguments)
        assert cache.bytes == reference.bytes <= budget
        assert len(cache) == len(reference.entries)
    assert {name: getattr(cache, name) for name in reference.counts} == reference.counts


def test_lru_evicts_the_least_recently_used() -> None:
    cost = 100 + 1 + ENTRY_OVERHEAD_BYTES
    cache: LruCache[str] = LruCache(3 * cost, cost)
    for key in "abc":
        cache.put(key, key.upper(), 100, 10)
    cache.get("a", 0)
    cache.put("d", "D", 100, 10)
    assert [cache.get(key, 0) for key in "abcd"] == ["A", None, "C", "D"]
    assert cache.bytes == 3 * cost


def test_lru_replaces_a_value_by_none_when_the_new_one_is_too_large() -> None:
    cache: LruCache[str] = LruCache(1000, 500)
    assert cache.put("a", "old", 1, 10)
    assert not cache.put("a", "new", 500, 10)
    assert cache.get("a", 0) is None
    assert cache.bytes == 0


@pytest.mark.parametrize(("budget", "largest"), [(0, 0), (10, 0), (10, 11), (-1, -1)])
def test_lru_refuses_a_budget_that_its_entries_cannot_fit(budget: int, largest: int) -> None:
    with pytest.raises(ValueError, match="must fit the budget"):
        LruCache(budget, largest)


def test_lru_refuses_a_negative_size() -> None:
    cache: LruCache[str] = LruCache(1000, 1000)
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        cache.put("a", "b", -1, 0)


@pytest.mark.parametrize(("policy", "reference_policy"), CACHES)
def test_cache_keeps_to_the_reference_over_a_long_skewed_trace(
    policy: type[Cache[int]], reference_policy: type[Reference]
) -> None:
    random = Random(1)
    cache, reference = policy(30_000, 3000), reference_policy(30_000, 3000)
    for step in range(20_000):
        key = f"v/{int(random.paretovariate(0.8)) % 200}"
        expected = reference.get(key, step)
        assert cache.get(key, step) == expected
        if expected is None:
            arguments = (key, step, random.randrange(2500), step + random.randrange(5000))
            assert cache.put(*arguments) == reference.put(*arguments)
        if step % 1000 == 999:
            prefix = f"v/{random.randrange(10)}"
            assert cache.purge(prefix) == reference.purge(prefix)
        assert cache.bytes == reference.bytes <= 30_000
    assert {name: getattr(cache, name) for name in reference.counts} == reference.counts
    assert reference.counts["evictions"] > 1000
    assert reference.counts["hits"] > 1000


def test_s3fifo_keeps_what_is_used_from_a_scan() -> None:
    cost = 100 + 3 + ENTRY_OVERHEAD_BYTES
    cache: S3FifoCache[int] = S3FifoCache(45 * cost, cost)
    for number in range(20):
        cache.put(f"u{number:02}", number, 100, 10)
        cache.get(f"u{number:02}", 0)
    for number in range(500):
        cache.put(f"{number:03}", number, 100, 10)
    assert [cache.get(f"u{number:02}", 0) for number in range(20)] == list(range(20))


def test_s3fifo_takes_what_comes_back_for_used() -> None:
    """Once out of the small queue, and once replaced: both are kept through a scan."""
    cost = 100 + 3 + ENTRY_OVERHEAD_BYTES
    cache: S3FifoCache[str] = S3FifoCache(45 * cost, cost)
    cache.put("old", "first", 100, 10)
    for number in range(60):
        cache.put(f"a{number:02}", "scanned", 100, 10)
    assert cache.get("old", 0) is None
    cache.put("old", "second", 100, 10)
    cache.put("new", "first", 100, 10)
    cache.put("new", "second", 100, 10)
    for number in range(40):
        cache.put(f"b{number:02}", "scanned", 100, 10)
    assert [cache.get(key, 0) for key in ("old", "new")] == ["second", "second"]
