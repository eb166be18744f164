"""A least-recently-used cache that counts bytes.

The entries are a dictionary and, in order of use, a ring through one sentinel; every operation is
O(1), `purge` is O(n). Times are the caller's clock, in seconds; an entry is gone once it expires.
No call runs foreign code between reading and changing the ring, so under the GIL each call is
atomic.
"""

cimport cython

ENTRY_OVERHEAD_BYTES = 256  # dictionary slot, entry and string header, rounded up


@cython.final
cdef class _Entry:
    pass


@cython.final
cdef class LruCache:
    def __init__(self, Py_ssize_t budget_bytes, Py_ssize_t largest_bytes):
        if not 0 < largest_bytes <= budget_bytes:
            raise ValueError(
                f"the largest entry must fit the budget of {budget_bytes} bytes, got {largest_bytes}"
            )
        self.budget_bytes = budget_bytes
        self.largest_bytes = largest_bytes
        self._entries = {}
        self._ring = _Entry.__new__(_Entry)
        self._ring.newer = self._ring.older = self._ring

    def __len__(self):
        return len(self._entries)

    def get(self, str key not None, double now_s):
        return self.lookup(key, now_s)

    cdef object lookup(self, str key, double now_s):
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
            return None
        cdef _Entry entry = <_Entry>found
        if now_s >= entry.expires_at_s:
            self._remove(entry)
            self.misses += 1
            return None
        if self._ring.older is not entry:
            self._unlink(entry)
            self._link(entry)
        self.hits += 1
        return entry.value

    def put(self, str key not None, value, Py_ssize_t size, double expires_at_s):
        """Keep a value of `size` bytes, or replace the one there; False when it is too large."""
        if size < 0:
            raise ValueError(f"a size cannot be negative, got {size}")
        replaced = self._entries.get(key)
        if replaced is not None:
            self._remove(<_Entry>replaced)
        cdef Py_ssize_t room = self.largest_bytes - len(key) - ENTRY_OVERHEAD_BYTES
        if size > room:
            self.rejections += 1
            return False
        cdef _Entry entry = _Entry.__new__(_Entry)
        entry.key = key
        entry.value = value
        entry.cost = size + len(key) + ENTRY_OVERHEAD_BYTES
        entry.expires_at_s = expires_at_s
        while self.bytes + entry.cost > self.budget_bytes:
            self._remove(self._ring.newer)
            self.evictions += 1
        self._entries[key] = entry
        self.bytes += entry.cost
        self._link(entry)
        return True

    def purge(self, str prefix not None):
        """Drop every key that starts with the prefix; returns how many."""
        doomed = [entry for key, entry in self._entries.items() if key.startswith(prefix)]
        for entry in doomed:
            self._remove(<_Entry>entry)
        return len(doomed)

    cdef void _link(self, _Entry entry):
        """Make it the newest."""
        entry.newer = self._ring
        entry.older = self._ring.older
        entry.older.newer = entry
        self._ring.older = entry

    cdef void _unlink(self, _Entry entry):
        entry.newer.older = entry.older
        entry.older.newer = entry.newer

    cdef void _remove(self, _Entry entry):
        self._unlink(entry)
        entry.newer = entry.older = None
        self.bytes -= entry.cost
        del self._entries[entry.key]
