from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.lru import ENTRY_OVERHEAD_BYTES, LruCache


class ReferenceLru:
    """The same promises, obviously kept."""

    def __init__(self, budget_bytes: int, largest_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.largest_bytes = largest_bytes
        self.entries: OrderedDict[str, tuple[int, int, float]] = OrderedDict()
        self.counts = {"hits": 0, "misses": 0, "evictions": 0, "rejections": 0}

    @property
    def bytes(self) -> int:
        return sum(cost for _, cost, _ in self.entries.values())

    def get(self, key: str, now_s: float) -> int | None:
        if key in self.entries and self.entries[key][2] <= now_s:
            del self.entries[key]
        if key not in self.entries:
            self.counts["misses"] += 1
            return None
        self.counts["hits"] += 1
        self.entries.move_to_end(key)
        return self.entries[key][0]

    def put(self, key: str, value: int, size: int, expires_at_s: float) -> bool:
        self.entries.pop(key, None)
        cost = size + len(key) + ENTRY_OVERHEAD_BYTES
        if cost > self.largest_bytes:
            self.counts["rejections"] += 1
            return False
        while self.bytes + cost > self.budget_bytes:
            self.entries.popitem(last=False)
            self.counts["evictions"] += 1
        self.entries[key] = (value, cost, expires_at_s)
        return True

    def purge(self, prefix: str) -> int:
        doomed = [key for key in self.entries if key.startswith(prefix)]
        for key in doomed:
            del self.entries[key]
        return len(doomed)


KEYS = st.sampled_from(["a", "b", "a/1", "a/2", "b/1", "b/22", "c" * 40])
STEPS = st.one_of(
    st.tuples(st.just("get"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("put"), KEYS, st.integers(), st.integers(0, 1500), st.integers(0, 9)),
    st.tuples(st.just("purge"), st.sampled_from(["", "a", "a/", "b/2", "z"])),
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 3000), st.integers(1, 3000))
def test_lru_behaves_like_the_reference(
    steps: list[tuple[object, ...]], first: int, second: int
) -> None:
    budget, largest = max(first, second), min(first, second)
    cache: LruCache[int] = LruCache(budget, largest)
    reference = ReferenceLru(budget, largest)
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
