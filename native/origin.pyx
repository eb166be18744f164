"""The origin without its protocol: who may have which object, and how it is answered.

`Core.respond` turns a request head into a `Response`, or into a `Miss` that says which object has
to be fetched first. Nothing is looked up before the token in the path opens that path. What can be
said before a request comes is built once per object: on a hit no header is formatted.
"""

from http import HTTPStatus

cimport cython

from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_GET_LENGTH
from libc.math cimport INFINITY
from libc.string cimport memchr, memcmp

from native.http cimport PARTIAL, UNSATISFIABLE, ByteRange, byte_range, gzip_accepted, none_match
from native.cache cimport Cache, LruCache
from native.token cimport MAX_TOKEN_CHARACTERS, Grant, TokenVerifier

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(str)

cdef enum:
    TOKEN_START = 3           # behind "/t/"
    MAX_KEY_CHARACTERS = 255  # so that no segment of it is longer than a file name may be
    MIN_KEY_SEGMENTS = 4      # v/<media>/<version>/<name>
    MAX_KEY_SEGMENTS = 5      # v/<media>/<version>/<rendition>/<name>

OBJECT_OVERHEAD_BYTES = 2560  # the header lists and responses kept with one object
MISSING_BUDGET_BYTES = 1 << 20
MISSING_FOR_S = 1.0

CORS = [
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "content-length, content-range, date, etag"),
]
ALLOWED_METHODS = "GET, HEAD, OPTIONS"


@cython.final
cdef class Request:
    def __init__(self, str method not None, str path not None, *, str range=None,
                 str if_range=None, str if_none_match=None, str accept_encoding=None,
                 str origin_verify=None):
        self.method = method
        self.path = path
        self.range = range
        self.if_range = if_range
        self.if_none_match = if_none_match
        self.accept_encoding = accept_encoding
        self.origin_verify = origin_verify
        self.is_head = method == "HEAD"


@cython.final
cdef class Response:
    def __init__(self, int status, list headers not None, bytes body not None=b""):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def raw_headers(self):
        """The same as bytes, for ASGI."""
        if self._raw_headers is None:
            self._raw_headers = [
                (name.encode("ascii"), value.encode("ascii")) for name, value in self.headers
            ]
        return self._raw_headers

    cdef bytes head(self):
        """The status line and these header lines of HTTP/1.1; more may follow them."""
        if self._head is None:
            self._head = "".join([
                f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n",
                *(f"{name}: {value}\r\n" for name, value in self.headers),
            ]).encode("ascii")
        return self._head

    cpdef Response without_body(self):
        cdef Response bare = Response(self.status, self.headers)
        bare._head = self._head
        bare._raw_headers = self._raw_headers
        return bare


@cython.final
cdef class Miss:
    def __init__(self, Request request not None, str key not None, CachedObject kept=None):
        self.request = request
        self.key = key
        self.kept = kept


def plain(int status, str text not None, str cache_control not None, extra=()):
    """A short answer in words, for whoever reads it in a browser or a log."""
    body = text.encode() + b"\n"
    headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(body))),
        ("cache-control", cache_control),
        *extra,
        *CORS,
    ]
    return Response(status, headers, body)


cdef Response FORBIDDEN = plain(
    403, "this playback link is not valid, or no longer: ask for a new one", "no-store"
)
cdef Response NOT_FOUND = plain(404, "there is no such object", "public, max-age=1")
cdef Response METHOD_NOT_ALLOWED = plain(
    405, f"only {ALLOWED_METHODS} are understood here", "no-store", [("allow", ALLOWED_METHODS)]
)
cdef Response PREFLIGHT = Response(204, [
    ("access-control-allow-methods", ALLOWED_METHODS),
    ("access-control-allow-headers", "range, if-range, if-none-match"),
    ("access-control-max-age", "86400"),
    ("cache-control", "public, max-age=86400"),
    *CORS,
])


@cython.final
cdef class CachedObject:
    """An object and every answer to a request for the whole of it, ready to be sent."""

    def __init__(self, bytes body not None, str etag not None, str content_type not None,
                 str cache_control not None, bytes gzipped=None):
        self._body = body
        self._etag = f'"{etag}"'
        self._content_type = content_type
        caching = [("cache-control", cache_control)]
        if gzipped is not None:
            caching.append(("vary", "accept-encoding"))
        self._common = [("accept-ranges", "bytes"), *caching, *CORS]
        self._whole = self._build(body, self._etag)
        self._not_modified = Response(304, [("etag", self._etag), *caching, *CORS])
        self.size = len(body) + OBJECT_OVERHEAD_BYTES
        self.fresh_until_s = self.good_until_s = INFINITY
        if gzipped is not None:
            self._gzip_etag = f'"{etag}-gzip"'
            self._gzipped = self._build(gzipped, self._gzip_etag)
            self._gzipped.headers.append(("content-encoding", "gzip"))
            self._gzip_not_modified = Response(304, [("etag", self._gzip_etag), *caching, *CORS])
            self.size += len(gzipped)

    cdef Response _build(self, bytes body, str etag):
        headers = [
            ("content-type", self._content_type),
            ("content-length", str(len(body))),
            ("etag", etag),
            *self._common,
        ]
        return Response(200, headers, body)

    def respond(self, Request request not None):
        return self.answer(request)

    cdef Response answer(self, Request request):
        """RFC 9110 section 13.2.2: If-None-Match decides before Range, If-Range guards Range."""
        cdef bint ranged = request.range is not None and not request.is_head
        cdef bint compressed = (self._gzipped is not None and not ranged
                                and request.accept_encoding is not None
                                and gzip_accepted(request.accept_encoding))
        cdef Response whole = self._gzipped if compressed else self._whole
        if request.if_none_match is not None:
            if none_match(request.if_none_match, self._gzip_etag if compressed else self._etag):
                return self._gzip_not_modified if compressed else self._not_modified
        if ranged and (request.if_range is None or request.if_range == self._etag):
            whole = self._part(request.range)
        return whole.without_body() if request.is_head else whole

    cdef Response _part(self, str range):
        cdef Py_ssize_t size = len(self._body)
        cdef ByteRange part = byte_range(range, size)
        if part.kind == UNSATISFIABLE:
            return plain(416, f"the object has {size} bytes, none of the range asked for",
                         "no-store", [("content-range", f"bytes */{size}")])
        if part.kind != PARTIAL:
            return self._whole
        headers = [
            ("content-type", self._content_type),
            ("content-length", str(part.stop - part.start)),
            ("content-range", f"bytes {part.start}-{part.stop - 1}/{size}"),
            ("etag", self._etag),
            *self._common,
        ]
        return Response(206, headers, self._body[part.start:part.stop])


cdef unsigned char[128] KEY_CHARACTERS
cdef unsigned char _character
for _character in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/":
    KEY_CHARACTERS[_character] = 1


cdef bint is_key(const unsigned char* key, Py_ssize_t length) noexcept:
    """v/<media>/<version>/[<rendition>/]<name>, of characters that need no encoding; no segment
    is empty or begins with a dot."""
    cdef Py_ssize_t i, segments = 1
    if not 0 < length <= MAX_KEY_CHARACTERS or key[0] != c"v" or key[length - 1] == c"/":
        return False
    for i in range(length):
        if key[i] >= 128 or not KEY_CHARACTERS[key[i]]:
            return False
        if key[i] == c"/":
            segments += 1
            if key[i + 1] == c"/" or key[i + 1] == c".":
                return False
    return key[1] == c"/" and MIN_KEY_SEGMENTS <= segments <= MAX_KEY_SEGMENTS


cdef Py_ssize_t token_length(str path) noexcept:
    """Of `/t/<token>/<key>`, or 0 when the path is anything else."""
    cdef const unsigned char* data
    cdef const unsigned char* slash
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(path), token
    if not PyUnicode_IS_ASCII(path) or length <= TOKEN_START:
        return 0
    data = <const unsigned char*>PyUnicode_1BYTE_DATA(path)
    if memcmp(data, b"/t/", TOKEN_START):
        return 0
    slash = <const unsigned char*>memchr(
        data + TOKEN_START, c"/", min(length - TOKEN_START, MAX_TOKEN_CHARACTERS + 1)
    )
    if slash is NULL:
        return 0
    token = slash - data - TOKEN_START
    return token if is_key(slash + 1, data + length - slash - 1) else 0


cdef bint is_key_path(str path) noexcept:
    """`/<key>`: what a CDN asks for that has verified the token and taken it away."""
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(path)
    cdef const unsigned char* data
    if length == 0 or not PyUnicode_IS_ASCII(path):
        return False
    data = <const unsigned char*>PyUnicode_1BYTE_DATA(path)
    return data[0] == c"/" and is_key(data + 1, length - 1)


cdef bint is_same(str one, str other) noexcept:
    """Of two ASCII strings; its time tells of their lengths only."""
    cdef Py_ssize_t i, length = PyUnicode_GET_LENGTH(one)
    cdef const unsigned char* a = <const unsigned char*>PyUnicode_1BYTE_DATA(one)
    cdef const unsigned char* b = <const unsigned char*>PyUnicode_1BYTE_DATA(other)
    cdef unsigned char difference = 0
    if length != PyUnicode_GET_LENGTH(other):
        return False
    for i in range(length):
        difference |= a[i] ^ b[i]
    return difference == 0


def split_path(str path not None):
    """(token, key), or None; what `Core` sees of a path."""
    cdef Py_ssize_t token = token_length(path)
    if token == 0:
        return None
    return path[TOKEN_START:TOKEN_START + token], path[TOKEN_START + token + 1:]


@cython.final
cdef class Core:
    def __init__(self, TokenVerifier verifier not None, Py_ssize_t budget_bytes,
                 Py_ssize_t largest_bytes, *, type policy not None=LruCache, secrets=(),
                 beside=()):
        if not all(secret and secret.isascii() for secret in secrets):
            raise ValueError("a secret has at least one character, and none outside ASCII")
        self._verifier = verifier
        self._secrets = tuple(secrets)
        self._beside = frozenset(beside)
        self.objects = policy(budget_bytes, largest_bytes)
        self.missing = LruCache(MISSING_BUDGET_BYTES, MISSING_BUDGET_BYTES)

    cpdef respond(self, Request request, double now_s):
        if request.method != "GET" and not request.is_head:
            return PREFLIGHT if request.method == "OPTIONS" else METHOD_NOT_ALLOWED
        cdef str key = self._open(request, now_s)
        if key is None:
            if request.path in self._beside:
                return Miss(request, request.path)
            self.refusals += 1
            return FORBIDDEN.without_body() if request.is_head else FORBIDDEN
        found = self.objects.lookup(key, now_s)
        if found is not None:
            if now_s < (<CachedObject>found).fresh_until_s:
                return (<CachedObject>found).answer(request)
            self.not_fresh += 1
            return Miss(request, key, <CachedObject>found)
        if len(self.missing) and self.missing.lookup(key, now_s) is not None:
            return NOT_FOUND.without_body() if request.is_head else NOT_FOUND
        return Miss(request, key)

    cdef str _open(self, Request request, double now_s):
        """The key, when the token in the path opens it, or a CDN asks that has seen to that."""
        cdef str path = request.path
        cdef Py_ssize_t length = token_length(path), at = TOKEN_START + length, prefix
        cdef Grant grant
        if length == 0:
            return path[1:] if is_key_path(path) and self._trusts(request) else None
        grant = self._verifier.open(path[TOKEN_START:at], now_s)
        if grant is None:
            return None
        prefix = PyUnicode_GET_LENGTH(grant.prefix)
        if prefix > PyUnicode_GET_LENGTH(path) - at or memcmp(
            <const char*>PyUnicode_1BYTE_DATA(path) + at,
            <const char*>PyUnicode_1BYTE_DATA(grant.prefix), prefix
        ):
            return None
        return path[at + 1:]

    cdef bint _trusts(self, Request request):
        cdef bint trusted = False
        cdef str given = request.origin_verify
        if given is None or not PyUnicode_IS_ASCII(given):
            return False
        for secret in self._secrets:
            trusted |= is_same(given, <str>secret)
        return trusted

    def remember_missing(self, str key not None, double now_s):
        """Answer 404 for a moment without asking the store; apart from the objects, so that
        made-up names push none of them out."""
        self.objects.discard(key)
        self.missing.put(key, True, 0, now_s + MISSING_FOR_S)
        return NOT_FOUND
