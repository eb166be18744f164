"""Caches that count bytes: LRU, and S3-FIFO (SOSP 2023).

The entries are a dictionary and rings through sentinels, newest to oldest; every operation is O(1)
(amortised where an eviction looks for its victim), `purge` is O(n). Times are the caller's clock,
in seconds; an entry is gone once it expires. No call runs foreign code between reading and changing
a ring, so under the GIL each call is atomic.
"""

from collections import OrderedDict

cimport cython

ENTRY_OVERHEAD_BYTES = 256  # dictionary slot, entry and string header, rounded up

cdef enum:
    PROBATION_SHARE = 20   # S3-FIFO's small queue has a twentieth of the budget
    GHOST_SHARE = 64       # and at most this part of it is for remembering keys
    MOST_USES = 3


@cython.final
cdef class Entry:
    pass


cdef Entry ring():
    cdef Entry sentinel = Entry.__new__(Entry)
    sentinel.newer = sentinel.older = sentinel
    return sentinel


cdef inline void link(Entry sentinel, Entry entry) noexcept:
    """Make it the newest."""
    entry.newer = sentinel
    entry.older = sentinel.older
    entry.older.newer = entry
    sentinel.older = entry


cdef inline void unlink(Entry entry) noexcept:
    entry.newer.older = entry.older
    entry.older.newer = entry.newer


cdef class Cache:
    """What all policies share. A policy says what a use changes (`_touch`), where a new entry goes
    (`_enter`) and which one has to go (`_make_room`, which evicts exactly one)."""

    def __init__(self, Py_ssize_t budget_bytes, Py_ssize_t largest_bytes):
        if not 0 < largest_bytes <= budget_bytes - self._reserved_bytes:
            raise ValueError(
                f"the largest entry must fit the budget of {budget_bytes} bytes, got {largest_bytes}"
            )
        self.budget_bytes = budget_bytes
        self.largest_bytes = largest_bytes
        self._entries = {}
        self._queue = ring()

    def __len__(self):
        return len(self._entries)

    def get(self, str key not None, double now_s):
        return self.lookup(key, now_s)

    cdef object lookup(self, str key, double now_s):
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
            return None
        cdef Entry entry = <Entry>found
        if now_s >= entry.expires_at_s:
            self._remove(entry)
            self.misses += 1
            return None
        self._touch(entry)
        self.hits += 1
        return entry.value

    def peek(self, str key not None):
        """The value, expired or not; counts and changes nothing."""
        found = self._entries.get(key)
        return None if found is None else (<Entry>found).value

    def put(self, str key not None, value, Py_ssize_t size, double expires_at_s):
        """Keep a value of `size` bytes, or replace the one there; False when it is too large."""
        if size < 0:
            raise ValueError(f"a size cannot be negative, got {size}")
        cdef Entry replaced = <Entry>self._entries.get(key)
        if replaced is not None:
            self._remove(replaced)
        cdef Py_ssize_t room = self.largest_bytes - len(key) - ENTRY_OVERHEAD_BYTES
        if size > room:
            self.rejections += 1
            return False
        cdef Entry entry = Entry.__new__(Entry)
        entry.key = key
        entry.value = value
        entry.cost = size + len(key) + ENTRY_OVERHEAD_BYTES
        entry.expires_at_s = expires_at_s
        while self.bytes + entry.cost > self.budget_bytes - self._reserved_bytes:
            self._make_room()
        self._entries[key] = entry
        self.bytes += entry.cost
        self._enter(entry, replaced)
        return True

    def discard(self, str key not None):
        found = self._entries.get(key)
        if found is not None:
            self._remove(<Entry>found)

    def purge(self, str prefix not None):
        """Drop every key that starts with the prefix; returns how many."""
        doomed = [entry for key, entry in self._entries.items() if key.startswith(prefix)]
        for entry in doomed:
            self._remove(<Entry>entry)
        return len(doomed)

    cdef void _touch(self, Entry entry):
        raise NotImplementedError

    cdef void _enter(self, Entry entry, Entry replaced):
        raise NotImplementedError

    cdef void _make_room(self):
        raise NotImplementedError

    cdef void _leave(self, Entry entry):
        """It is about to be unlinked."""

    cdef void _evict(self, Entry entry):
        self._remove(entry)
        self.evictions += 1

    cdef void _remove(self, Entry entry):
        self._leave(entry)
        unlink(entry)
        entry.newer = entry.older = None
        self.bytes -= entry.cost
        del self._entries[entry.key]


@cython.final
cdef class LruCache(Cache):
    """Evicts what was not used for longest."""

    cdef void _touch(self, Entry entry):
        if self._queue.older is not entry:
            unlink(entry)
            link(self._queue, entry)

    cdef void _enter(self, Entry entry, Entry replaced):
        link(self._queue, entry)

    cdef void _make_room(self):
        self._evict(self._queue.newer)


@cython.final
cdef class S3FifoCache(Cache):
    """A small queue that most objects leave unused, a main queue for those that are used again,
    and the keys of those that left, which go to the main queue should they come back."""

    def __init__(self, Py_ssize_t budget_bytes, Py_ssize_t largest_bytes):
        self._reserved_bytes = budget_bytes // GHOST_SHARE
        Cache.__init__(self, budget_bytes, largest_bytes)
        self._probation = ring()
        self._ghosts = OrderedDict()

    cdef void _touch(self, Entry entry):
        if entry.uses < MOST_USES:
            entry.uses += 1

    cdef void _enter(self, Entry entry, Entry replaced):
        cdef bint known = replaced is not None
        if known:
            entry.uses = replaced.uses
        elif self._ghosts.pop(entry.key, False):
            self._ghost_bytes -= len(entry.key) + ENTRY_OVERHEAD_BYTES
            known = True
        if known:
            link(self._queue, entry)
            return
        entry.on_probation = True
        self._probation_bytes += entry.cost
        link(self._probation, entry)

    cdef void _make_room(self):
        cdef Entry entry
        while True:
            if self._probation.newer is not self._probation and (
                self._probation_bytes > self.budget_bytes // PROBATION_SHARE
                or self._queue.newer is self._queue
            ):
                entry = self._probation.newer
                if entry.uses == 0:
                    self._evict(entry)
                    self._remember(entry.key)
                    return
                self._leave(entry)
            else:
                entry = self._queue.newer
                if entry.uses == 0:
                    self._evict(entry)
                    return
                entry.uses -= 1
            unlink(entry)
            link(self._queue, entry)

    cdef void _leave(self, Entry entry):
        if entry.on_probation:
            entry.on_probation = False
            self._probation_bytes -= entry.cost

    cdef void _remember(self, str key):
        self._ghosts[key] = True
        self._ghost_bytes += len(key) + ENTRY_OVERHEAD_BYTES
        while (self._ghost_bytes > self._reserved_bytes
               or len(self._ghosts) > len(self._entries)):
            oldest, _ = self._ghosts.popitem(last=False)
            self._ghost_bytes -= len(oldest) + ENTRY_OVERHEAD_BYTES
