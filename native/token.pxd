cimport cython

from native.cache cimport LruCache

cpdef enum:
    MAX_TOKEN_CHARACTERS = 1024  # what CloudFront's own verifier accepts


cdef struct Reader:
    const unsigned char* data
    Py_ssize_t position
    Py_ssize_t end
    bint failed            # sticky: set by the first item that is not what was asked for


cdef struct Slice:
    Py_ssize_t start
    Py_ssize_t length


cdef struct Envelope:
    Slice protected
    Slice protected_item   # with the head of the byte string
    Slice payload
    Slice payload_item
    Slice tag


@cython.final
cdef class Grant:
    cdef readonly str prefix              # of the path that it opens; begins and ends with "/"
    cdef readonly long long not_before_s
    cdef readonly long long expires_at_s

    cdef bint is_valid(self, double now_s) noexcept


@cython.final
cdef class TokenVerifier:
    cdef dict _secrets        # kid -> secret
    cdef LruCache _verified   # token -> Grant

    cdef Grant open(self, str token, double now_s)
    cdef Grant _verify(self, str token)
    cdef bint _is_signed(self, Reader* reader, Envelope envelope)
