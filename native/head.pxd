from native.origin cimport Request

cdef struct Span:
    const char* start
    Py_ssize_t length


cdef struct Head:
    Span method
    Span target
    Span range
    Span if_range
    Span if_none_match
    Span accept_encoding
    Span origin_verify
    int hosts
    bint is_old   # HTTP/1.0, which needs no host
    bint is_last  # nothing that follows on this connection is to be taken for a request


cdef int read_head(const char* at, Py_ssize_t length, Head* head) noexcept nogil
cdef Request request_of(Head* head)
cdef bint may_begin(unsigned char character) noexcept nogil
