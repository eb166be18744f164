"""The head of a request in HTTP/1.1 (RFC 9112), of which an origin needs only this much.

What does not follow the grammar to the letter is refused: whatever stands before or behind this
server must never see another request in the same bytes. Every function is one pass, in place.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcmp, memset

from native.origin cimport Request

cdef unsigned char[256] TOKEN_CHARACTERS  # RFC 9110 section 5.6.2
cdef unsigned char _character
for _character in b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
    TOKEN_CHARACTERS[_character] = 1


cdef inline str text(Span span):
    return None if span.start is NULL else PyUnicode_DecodeLatin1(span.start, span.length, NULL)


cdef bint is_named(Span name, const char* lower) noexcept nogil:
    """`lower` has the same length, and letters and hyphens only."""
    cdef Py_ssize_t i
    for i in range(name.length):
        if name.start[i] | 0x20 != lower[i]:
            return False
    return True


cdef bint lists_close(Span value) noexcept nogil:
    """Whether `close` is one of the comma-separated options."""
    cdef const char* at = value.start
    cdef const char* end = at + value.length
    cdef Span option
    while at < end:
        while at < end and (at[0] == c" " or at[0] == c"\t" or at[0] == c","):
            at += 1
        option.start = at
        while at < end and TOKEN_CHARACTERS[<unsigned char>at[0]]:
            at += 1
        option.length = at - option.start
        if option.length == 5 and is_named(option, "close"):
            return True
        while at < end and at[0] != c",":
            at += 1
    return False


cdef void take(Span* field, Span value) noexcept nogil:
    """The first of its name counts."""
    if field.start is NULL:
        field[0] = value


cdef void take_field(Head* head, Span name, Span value) noexcept nogil:
    cdef Py_ssize_t length = name.length
    if length == 4 and is_named(name, "host"):
        head.hosts += 1
    elif length == 5 and is_named(name, "range"):
        take(&head.range, value)
    elif length == 8 and is_named(name, "if-range"):
        take(&head.if_range, value)
    elif length == 10 and is_named(name, "connection"):
        head.is_last |= lists_close(value)
    elif length == 13 and is_named(name, "if-none-match"):
        take(&head.if_none_match, value)
    elif length == 14 and is_named(name, "content-length"):
        head.is_last |= value.length != 1 or value.start[0] != c"0"
    elif length == 15 and is_named(name, "accept-encoding"):
        take(&head.accept_encoding, value)
    elif length == 15 and is_named(name, "x-origin-verify"):
        take(&head.origin_verify, value)
    elif length == 17 and is_named(name, "transfer-encoding"):
        head.is_last = True


cdef int read_request_line(const char* at, const char* end, Head* head) noexcept nogil:
    """`end` is behind the line, without its CRLF. 0, or the status of a refusal."""
    head.method.start = at
    while at < end and TOKEN_CHARACTERS[<unsigned char>at[0]]:
        at += 1
    head.method.length = at - head.method.start
    if head.method.length == 0 or at == end or at[0] != c" ":
        return 400
    at += 1
    head.target.start = at
    while at < end and c"!" <= at[0] <= c"~":
        at += 1
    head.target.length = at - head.target.start
    if head.target.length == 0 or end - at != 9 or memcmp(at, b" HTTP/", 6) or at[7] != c".":
        return 400
    if at[6] != c"1" or not c"0" <= at[8] <= c"9":
        return 505
    head.is_old = head.is_last = at[8] == c"0"
    return 0


cdef int read_field(const char* at, const char* end, Head* head) noexcept nogil:
    """A header line without its CRLF. 0, or the status of a refusal."""
    cdef Span name, value
    name.start = at
    while at < end and TOKEN_CHARACTERS[<unsigned char>at[0]]:
        at += 1
    name.length = at - name.start
    if name.length == 0 or at == end or at[0] != c":":
        return 400  # a line that goes on the one before, too: RFC 9112 section 5.2
    at += 1
    while at < end and (at[0] == c" " or at[0] == c"\t"):
        at += 1
    while end > at and ((end - 1)[0] == c" " or (end - 1)[0] == c"\t"):
        end -= 1
    value.start = at
    value.length = end - at
    take_field(head, name, value)
    return 0


cdef bint may_begin(unsigned char character) noexcept nogil:
    """Whether a request line, or the empty line before it, begins so."""
    return character == c"\r" or TOKEN_CHARACTERS[character]


cdef int read_head(const char* at, Py_ssize_t length, Head* head) noexcept nogil:
    """All of it, and the empty line that ends it. 0, or the status of a refusal."""
    cdef const char* stop = at + length - 2  # the empty line
    cdef const char* end
    cdef int refusal
    cdef bint is_first = True
    memset(head, 0, sizeof(Head))
    if memchr(at, 0, length) is not NULL:
        return 400
    while at < stop:
        end = <const char*>memchr(at, c"\r", stop - at)
        if end is NULL or end[1] != c"\n" or memchr(at, c"\n", end - at) is not NULL:
            return 400  # a lone CR or LF: two readers could see two different lines
        refusal = read_request_line(at, end, head) if is_first else read_field(at, end, head)
        if refusal:
            return refusal
        is_first = False
        at = end + 2
    return 400 if is_first or head.hosts > 1 or head.hosts + head.is_old == 0 else 0


cdef str path_of(Span target):
    """Of the target in origin form or absolute form, without its query."""
    cdef const char* at = target.start
    cdef const char* end = <const char*>memchr(at, c"?", target.length)
    cdef Py_ssize_t scheme = 0
    if end is NULL:
        end = at + target.length
    if end - at > 7 and at[0] | 0x20 == c"h":
        scheme = 7 if at[4] == c":" else 8
    if scheme and end - at > scheme and not memcmp(at + scheme - 3, b"://", 3):
        at = <const char*>memchr(at + scheme, c"/", end - at - scheme)
        if at is NULL:
            return "/"
    return PyUnicode_DecodeLatin1(at, end - at, NULL)


cdef Request request_of(Head* head):
    cdef Request request = Request.__new__(Request)
    request.path = path_of(head.target)
    request.method = "GET" if (
        head.method.length == 3 and not memcmp(head.method.start, b"GET", 3)
    ) else text(head.method)
    request.is_head = request.method == "HEAD"
    request.range = text(head.range)
    request.if_range = text(head.if_range)
    request.if_none_match = text(head.if_none_match)
    request.accept_encoding = text(head.accept_encoding)
    request.origin_verify = text(head.origin_verify)
    return request


def read_request(bytes head not None):
    """(Request, whether the connection ends with it), or the status of a refusal. `head` ends with
    an empty line."""
    cdef Head found
    cdef int refusal = read_head(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), &found)
    return refusal or (request_of(&found), found.is_last)
