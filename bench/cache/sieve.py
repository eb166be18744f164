"""SIEVE (NSDI 2024), which the origin does not use: for its hit ratios, not for its speed."""

from collections import OrderedDict
from dataclasses import dataclass

from native.cache import ENTRY_OVERHEAD_BYTES


@dataclass(slots=True)
class Entry:
    value: float
    cost: int
    expires_at_s: float
    used: bool = False


class Sieve:
    """A hand walks from the oldest to the newest and evicts the first that was not used since it
    last came by. Neither a use nor a new value moves an entry."""

    def __init__(self, budget_bytes: int, largest_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._largest_bytes = largest_bytes
        self._bytes = 0
        self._ahead: OrderedDict[str, Entry] = OrderedDict()  # of the hand, to the newest
        self._behind: OrderedDict[str, Entry] = OrderedDict()  # from the oldest to the hand

    def get(self, key: str, now_s: float) -> float | None:
        entry = self._ahead.get(key) or self._behind.get(key)
        if entry is None:
            return None
        if now_s >= entry.expires_at_s:
            self._remove(key)
            return None
        entry.used = True
        return entry.value

    def put(self, key: str, value: float, size: int, expires_at_s: float) -> bool:
        cost = size + len(key) + ENTRY_OVERHEAD_BYTES
        entry = self._ahead.get(key) or self._behind.get(key)
        if entry is not None and entry.cost == cost:
            entry.value, entry.expires_at_s = value, expires_at_s
            return True
        if entry is not None:
            self._remove(key)
        if cost > self._largest_bytes:
            return False
        while self._bytes + cost > self._budget_bytes:
            self._evict()
        self._ahead[key] = Entry(value, cost, expires_at_s)
        self._bytes += cost
        return True

    def _remove(self, key: str) -> None:
        entry = self._ahead.pop(key, None) or self._behind.pop(key)
        self._bytes -= entry.cost

    def _evict(self) -> None:
        while True:
            if not self._ahead:
                self._ahead, self._behind = self._behind, self._ahead
            key, entry = self._ahead.popitem(last=False)
            if not entry.used:
                self._bytes -= entry.cost
                return
            entry.used = False
            self._behind[key] = entry
