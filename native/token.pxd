cimport cython

from native.lru cimport LruCache

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
