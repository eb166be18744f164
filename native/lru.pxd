cimport cython

@cython.final
cdef class _Entry:
    cdef str key
    cdef object value
    cdef Py_ssize_t cost        # bytes: value, key and ENTRY_OVERHEAD_BYTES
    cdef double expires_at_s
    cdef _Entry newer
    cdef _Entry older


@cython.final
cdef class LruCache:
    cdef readonly Py_ssize_t budget_bytes
    cdef readonly Py_ssize_t largest_bytes   # a dearer entry is not kept
    cdef readonly Py_ssize_t bytes           # sum of the costs, never above the budget
    cdef readonly long long hits, misses, evictions, rejections
    cdef dict _entries
    cdef _Entry _ring        # sentinel: _ring.older is the newest entry, _ring.newer the oldest

    cdef object lookup(self, str key, double now_s)
    cdef void _link(self, _Entry entry)
    cdef void _unlink(self, _Entry entry)
    cdef void _remove(self, _Entry entry)
