cimport cython

@cython.final
cdef class Entry:
    cdef str key
    cdef object value
    cdef Py_ssize_t cost        # bytes: value, key and ENTRY_OVERHEAD_BYTES
    cdef double expires_at_s
    cdef Entry newer
    cdef Entry older
    cdef int uses               # since it came into its queue; not counted by LRU
    cdef bint on_probation      # S3-FIFO's small queue


cdef class Cache:
    cdef readonly Py_ssize_t budget_bytes
    cdef readonly Py_ssize_t largest_bytes   # a dearer entry is not kept
    cdef readonly Py_ssize_t bytes           # sum of the costs, never above the budget
    cdef readonly long long hits, misses, evictions, rejections
    cdef Py_ssize_t _reserved_bytes          # of the budget, for what the policy remembers
    cdef dict _entries
    cdef Entry _queue        # sentinel: _queue.older is the newest entry, _queue.newer the oldest

    cdef object lookup(self, str key, double now_s)
    cdef void _touch(self, Entry entry)
    cdef void _enter(self, Entry entry, Entry replaced)
    cdef void _make_room(self)
    cdef void _leave(self, Entry entry)
    cdef void _evict(self, Entry entry)
    cdef void _remove(self, Entry entry)


@cython.final
cdef class LruCache(Cache):
    pass


@cython.final
cdef class S3FifoCache(Cache):
    cdef Entry _probation    # sentinel of the small queue
    cdef Py_ssize_t _probation_bytes
    cdef object _ghosts      # OrderedDict of keys that left the small queue unused, oldest first
    cdef Py_ssize_t _ghost_bytes

    cdef void _remember(self, str key)
