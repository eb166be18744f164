"""The request headers that an origin must understand, RFC 9110.

A value that is not ASCII or not well formed is treated as if the header were not there: the whole,
unencoded object is always a right answer. Every function is one pass over the value.
"""

from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_GET_LENGTH

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(str)

cdef Py_ssize_t POSITION_LIMIT = 1 << 60  # larger positions count as this one


cdef struct Cursor:
    const unsigned char* data
    Py_ssize_t position
    Py_ssize_t end


cdef inline Cursor cursor_of(str value) noexcept:
    cdef Cursor cursor
    cursor.data = <const unsigned char*>PyUnicode_1BYTE_DATA(value)
    cursor.position = 0
    cursor.end = PyUnicode_GET_LENGTH(value) if PyUnicode_IS_ASCII(value) else 0
    return cursor


cdef inline int peek(Cursor* cursor) noexcept:
    return cursor.data[cursor.position] if cursor.position < cursor.end else -1


cdef inline bint skip(Cursor* cursor, int character) noexcept:
    if peek(cursor) != character:
        return False
    cursor.position += 1
    return True


cdef inline void skip_blanks(Cursor* cursor) noexcept:
    while peek(cursor) == c" " or peek(cursor) == c"\t":
        cursor.position += 1


cdef Py_ssize_t read_position(Cursor* cursor) noexcept:
    """1*DIGIT, or -1."""
    cdef Py_ssize_t value = -1
    while c"0" <= peek(cursor) <= c"9":
        value = max(value, 0)
        value = min(value * 10 + (peek(cursor) - c"0"), POSITION_LIMIT)
        cursor.position += 1
    return value


cdef ByteRange byte_range(str value, Py_ssize_t size) noexcept:
    """`bytes=a-b`, `bytes=a-` or `bytes=-n`; several ranges are answered with the whole."""
    cdef ByteRange whole = ByteRange(WHOLE, 0, size)
    cdef ByteRange unsatisfiable = ByteRange(UNSATISFIABLE, 0, 0)
    cdef Cursor cursor = cursor_of(value)
    cdef Py_ssize_t first, last
    for character in b"bytes":
        if peek(&cursor) | 0x20 != character:
            return whole
        cursor.position += 1
    if not skip(&cursor, c"="):
        return whole
    first = read_position(&cursor)
    if not skip(&cursor, c"-"):
        return whole
    last = read_position(&cursor)
    if cursor.position != cursor.end or (first < 0 and last < 0) or 0 <= last < first:
        return whole
    if first < 0:
        if last == 0 or size == 0:
            return unsatisfiable
        return ByteRange(PARTIAL, max(size - last, 0), size)
    if first >= size:
        return unsatisfiable
    return ByteRange(PARTIAL, first, size if last < 0 else min(last + 1, size))


cdef bint is_same(Cursor* cursor, Py_ssize_t start, Py_ssize_t stop, str expected) noexcept:
    cdef Cursor other = cursor_of(expected)
    if stop - start != other.end:
        return False
    for i in range(other.end):
        if cursor.data[start + i] != other.data[i]:
            return False
    return True


cdef bint none_match(str value, str etag) noexcept:
    """Whether an If-None-Match list names the (strong, quoted) etag; weak comparison."""
    cdef Cursor cursor = cursor_of(value)
    cdef Py_ssize_t start
    skip_blanks(&cursor)
    if skip(&cursor, c"*"):
        skip_blanks(&cursor)
        return cursor.position == cursor.end
    while cursor.position < cursor.end:
        if skip(&cursor, c"W") and not skip(&cursor, c"/"):
            return False
        start = cursor.position
        if not skip(&cursor, c'"'):
            return False
        while cursor.position < cursor.end and peek(&cursor) != c'"':
            cursor.position += 1
        if not skip(&cursor, c'"'):
            return False
        if is_same(&cursor, start, cursor.position, etag):
            return True
        skip_blanks(&cursor)
        if cursor.position < cursor.end and not skip(&cursor, c","):
            return False
        skip_blanks(&cursor)
    return False


cdef bint quality_is_zero(Cursor* cursor, Py_ssize_t start, Py_ssize_t stop) noexcept:
    """Whether the parameters of one coding are `q=0`, or no weight at all that we understand."""
    cdef Cursor weight = Cursor(cursor.data, start, stop)
    skip_blanks(&weight)
    if weight.position == weight.end:
        return False
    if not skip(&weight, c";"):
        return True
    skip_blanks(&weight)
    if peek(&weight) | 0x20 != c"q":
        return True
    weight.position += 1
    if not skip(&weight, c"="):
        return True
    for i in range(weight.position, weight.end):
        if c"1" <= weight.data[i] <= c"9":
            return False
    return True


cdef inline bint is_coding_character(int character) noexcept:
    return character > c" " and character != c"," and character != c";"


cdef bint names_gzip(Cursor* cursor, Py_ssize_t start, Py_ssize_t stop) noexcept:
    if stop - start == 6 and cursor.data[start] | 0x20 == c"x" and cursor.data[start + 1] == c"-":
        start += 2
    if stop - start != 4:
        return False
    for i in range(4):
        if cursor.data[start + i] | 0x20 != (<const unsigned char*>b"gzip")[i]:
            return False
    return True


cdef bint gzip_accepted(str value) noexcept:
    """Accept-Encoding: `gzip` (or `x-gzip`) decides, else `*`, else no."""
    cdef Cursor cursor = cursor_of(value)
    cdef Py_ssize_t start, stop
    cdef bint any_accepted = False
    while cursor.position < cursor.end:
        skip_blanks(&cursor)
        start = cursor.position
        while is_coding_character(peek(&cursor)):
            cursor.position += 1
        stop = cursor.position
        while cursor.position < cursor.end and peek(&cursor) != c",":
            cursor.position += 1
        if names_gzip(&cursor, start, stop):
            return not quality_is_zero(&cursor, stop, cursor.position)
        if stop - start == 1 and cursor.data[start] == c"*":
            any_accepted = not quality_is_zero(&cursor, stop, cursor.position)
        skip(&cursor, c",")
    return any_accepted


def parse_range(str value not None, Py_ssize_t size):
    """(start, stop) to send, None for the whole object, () when nothing of it was asked for."""
    cdef ByteRange found = byte_range(value, size)
    if found.kind == WHOLE:
        return None
    return (found.start, found.stop) if found.kind == PARTIAL else ()


def matches_none(str value not None, str etag not None):
    return none_match(value, etag)


def accepts_gzip(str value not None):
    return gzip_accepted(value)
