cdef enum RangeKind:
    WHOLE              # no range that has to be honoured
    PARTIAL
    UNSATISFIABLE

cdef struct ByteRange:
    RangeKind kind
    Py_ssize_t start   # of PARTIAL
    Py_ssize_t stop    # exclusive

cdef ByteRange byte_range(str value, Py_ssize_t size) noexcept
cdef bint none_match(str value, str etag) noexcept
cdef bint gzip_accepted(str value) noexcept
