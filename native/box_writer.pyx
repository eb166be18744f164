"""Boxes written straight into the bytes object that is handed out.

A caller that knows the size gives it to the constructor: one allocation, no copy at the end.
Otherwise the writer grows by doubling.
"""

from cpython.ref cimport Py_DECREF, Py_XDECREF
from libc.string cimport memcpy, memset


cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *data, Py_ssize_t size) except NULL
    char *PyBytes_AS_STRING(PyObject *data)
    int _PyBytes_Resize(PyObject **data, Py_ssize_t size) except -1


cdef Py_ssize_t LEAST_CAPACITY = 64  # CPython shares bytes objects of one byte and of none


cdef class BoxWriter:
    def __cinit__(self, Py_ssize_t capacity):
        capacity = max(capacity, LEAST_CAPACITY)
        self._result = PyBytes_FromStringAndSize(NULL, capacity)
        self._data = <uint8_t *>PyBytes_AS_STRING(self._result)
        self._capacity = capacity

    def __dealloc__(self):
        Py_XDECREF(self._result)

    cdef int _resize(self, Py_ssize_t capacity) except -1:
        self._data = NULL
        self._capacity = 0  # _PyBytes_Resize frees the object when it fails
        _PyBytes_Resize(&self._result, capacity)
        self._data = <uint8_t *>PyBytes_AS_STRING(self._result)
        self._capacity = capacity
        return 0

    cdef uint8_t *advance(self, Py_ssize_t size) except NULL:
        """Where the next `size` bytes go; the caller writes all of them at once."""
        assert size >= 0
        if size > self._capacity - self.position:
            self._resize(2 * self._capacity + size)
        self.position += size
        return self._data + self.position - size

    cdef int u8(self, uint8_t value) except -1:
        self.advance(1)[0] = value
        return 0

    cdef int u16(self, uint16_t value) except -1:
        put_u16(self.advance(2), value)
        return 0

    cdef int u32(self, uint32_t value) except -1:
        put_u32(self.advance(4), value)
        return 0

    cdef int u64(self, uint64_t value) except -1:
        cdef uint8_t *to = self.advance(8)
        put_u32(to, <uint32_t>(value >> 32))
        put_u32(to + 4, <uint32_t>(value & 0xFFFFFFFF))
        return 0

    cdef int zeros(self, Py_ssize_t size) except -1:
        memset(self.advance(size), 0, size)
        return 0

    cdef int raw(self, const void *data, Py_ssize_t size) except -1:
        memcpy(self.advance(size), data, size)
        return 0

    cdef Py_ssize_t start_box(self, const char *fourcc) except -1:
        """Position of the box, for end_box(), which fills in its size."""
        cdef Py_ssize_t start = self.position
        self.u32(0)
        self.raw(fourcc, 4)
        return start

    cdef Py_ssize_t start_full_box(
        self, const char *fourcc, uint8_t version, uint32_t flags
    ) except -1:
        cdef Py_ssize_t start = self.start_box(fourcc)
        self.u32((<uint32_t>version << 24) | flags)
        return start

    cdef int end_box(self, Py_ssize_t start) except -1:
        cdef Py_ssize_t size = self.position - start
        put_u32(self._data + start, <uint32_t>size)
        return 0

    cdef bytes finish(self):
        """The bytes written; the writer is empty and unusable afterwards."""
        if self.position != self._capacity:
            self._resize(self.position)
        result = <bytes>self._result
        Py_DECREF(result)  # ours; the one of `result` stays
        self._result = NULL
        self._data = NULL
        self._capacity = self.position = 0
        return result
