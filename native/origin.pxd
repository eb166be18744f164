cimport cython

from native.cache cimport Cache, LruCache
from native.token cimport TokenVerifier

@cython.final
cdef class Request:
    cdef readonly str method
    cdef readonly str path               # of the URL, as sent
    cdef readonly str range              # header values; None where there is none
    cdef readonly str if_range
    cdef readonly str if_none_match
    cdef readonly str accept_encoding
    cdef readonly str origin_verify      # a CDN's proof that it has verified the token
    cdef readonly bint is_head


@cython.final
cdef class Response:
    cdef readonly int status
    cdef readonly list headers           # of (str, str); shared, not to be changed
    cdef readonly bytes body
    cdef list _raw_headers
    cdef bytes _head

    cdef bytes head(self)
    cpdef Response without_body(self)


@cython.final
cdef class Miss:
    cdef readonly Request request
    cdef readonly str key
    cdef readonly CachedObject kept      # what the cache still has, but not fresh; or None


@cython.final
cdef class CachedObject:
    cdef public double fresh_until_s     # until then it is answered as it is; then it is a Miss
    cdef public double good_until_s      # as the store told; later than fresh_until_s while nobody
                                         # has asked for what was fetched in advance
    cdef readonly Py_ssize_t size        # what it costs to keep
    cdef bytes _body
    cdef str _content_type
    cdef str _etag                       # quoted
    cdef str _gzip_etag
    cdef list _common                    # headers of 200 and 206
    cdef Response _whole
    cdef Response _gzipped               # None, as are the others of its kind, if not compressed
    cdef Response _not_modified
    cdef Response _gzip_not_modified

    cdef Response _build(self, bytes body, str etag)
    cdef Response answer(self, Request request)
    cdef Response _part(self, str range)


@cython.final
cdef class Core:
    cdef readonly Cache objects          # key -> CachedObject
    cdef readonly LruCache missing       # key -> True
    cdef readonly long long refusals
    cdef readonly long long not_fresh    # hits of the cache that became a Miss
    cdef TokenVerifier _verifier
    cdef tuple _secrets                  # that prove a CDN, of str
    cdef frozenset _beside               # paths of no object, answered elsewhere; they are a Miss

    cpdef respond(self, Request request, double now_s)
    cdef str _open(self, Request request, double now_s)
    cdef bint _trusts(self, Request request)
