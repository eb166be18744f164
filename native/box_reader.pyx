"""Reads boxes (14496-12, 4.2) out of bytes that may be anything.

A BoxReader hands out the content of one box in order, and never a byte outside it: a box lies
wholly inside its parent, and the outermost one inside the buffer.
"""

import cython

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_GET_BUFFER, PyMemoryView_GetContiguous
from libc.string cimport memcmp

cdef enum:
    BOX_HEADER_SIZE = 8


cdef BoxReader open_file(object data):
    """The buffer as if it were the content of a box around the file."""
    cdef BoxReader reader = BoxReader.__new__(BoxReader)
    reader._owner = PyMemoryView_GetContiguous(data, PyBUF_READ, c"C")
    cdef Py_buffer *buffer = PyMemoryView_GET_BUFFER(reader._owner)
    reader._file = <const uint8_t *>buffer.buf
    reader.name = "file"
    reader.end = buffer.len
    return reader


@cython.final
cdef class BoxReader:
    cdef Py_ssize_t left(self) noexcept:
        return self.end - self.position

    cdef const uint8_t *take(self, Py_ssize_t size) except NULL:
        """The next `size` bytes."""
        if not 0 <= size <= self.left():
            raise self.error(f"expected {size} more bytes at {self.position}, {self.left()} left")
        self.position += size
        return self._file + self.position - size

    cdef uint8_t u8(self) except? 0xFF:
        return self.take(1)[0]

    cdef uint32_t u16(self) except? 0xFFFF:
        cdef const uint8_t *at = self.take(2)
        return (<uint32_t>at[0] << 8) | at[1]

    cdef uint32_t u32(self) except? 0xFFFFFFFF:
        cdef const uint8_t *at = self.take(4)
        return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]

    cdef uint64_t u64(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t high = self.u32()
        return (high << 32) | self.u32()

    cdef bytes raw(self, Py_ssize_t size):
        cdef const uint8_t *at = self.take(size)
        return at[:size]

    cdef bint next_is(self, const char *fourcc) except -1:
        return (
            self.left() >= BOX_HEADER_SIZE
            and memcmp(self._file + self.position + 4, fourcc, 4) == 0
        )

    cdef BoxReader child(self, const char *fourcc):
        """The next box, which must be this one; this reader moves behind it."""
        cdef str expected = fourcc[:4].decode("ascii")
        cdef Py_ssize_t start = self.position
        if self.left() < BOX_HEADER_SIZE:
            raise self.error(f"expected box {expected!r} at {start}, {self.left()} bytes left")
        if not self.next_is(fourcc):
            found = (self._file + start + 4)[:4]
            raise self.error(f"expected box {expected!r} at {start}, found {found!r}")
        cdef Py_ssize_t size = self.u32()
        if not BOX_HEADER_SIZE <= size <= self.end - start:
            raise self.error(
                f"box {expected!r} at {start} claims {size} bytes, {self.end - start} left"
            )
        cdef BoxReader box = self.part(size - 4, expected)
        box.start = start
        box.skip(4)
        return box

    cdef BoxReader part(self, Py_ssize_t size, str name):
        """The next `size` bytes as a reader of their own; this reader moves behind them."""
        cdef BoxReader box = BoxReader.__new__(BoxReader)
        self.take(size)
        box._owner, box._file, box.name = self._owner, self._file, name
        box.start = box.position = self.position - size
        box.end = self.position
        return box

    cdef uint32_t full_box_flags(self, uint8_t version) except? 0xFFFFFFFF:
        """Reads what begins a full box; only this version is accepted."""
        cdef uint32_t word = self.u32()
        if word >> 24 != version:
            raise self.error(f"expected version {version}, got {word >> 24}")
        return word & 0xFFFFFF

    cdef int skip(self, Py_ssize_t size) except -1:
        self.take(size)
        return 0

    cdef int expect(self, str what, uint64_t got, uint64_t wanted) except -1:
        if got != wanted:
            raise self.error(f"expected {what} {wanted}, got {got}")
        return 0

    cdef int finish(self) except -1:
        if self.left():
            raise self.error(f"{self.left()} bytes at {self.position} were not expected")
        return 0

    cdef object error(self, str problem):
        return ValueError(f"{self.name!r} at {self.start}: {problem}")
