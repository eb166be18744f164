from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef class BoxWriter:
    cdef:
        # The result being filled. Until finish() nobody else refers to it, so that writing into
        # a bytes object, and resizing it, is allowed.
        PyObject *_result
        uint8_t *_data
        Py_ssize_t _capacity
        readonly Py_ssize_t position  # bytes written

    cdef int _resize(self, Py_ssize_t capacity) except -1
    cdef uint8_t *advance(self, Py_ssize_t size) except NULL
    cdef int u8(self, uint8_t value) except -1
    cdef int u16(self, uint16_t value) except -1
    cdef int u32(self, uint32_t value) except -1
    cdef int u64(self, uint64_t value) except -1
    cdef int zeros(self, Py_ssize_t size) except -1
    cdef int raw(self, const void *data, Py_ssize_t size) except -1
    cdef Py_ssize_t start_box(self, const char *fourcc) except -1
    cdef Py_ssize_t start_full_box(
        self, const char *fourcc, uint8_t version, uint32_t flags
    ) except -1
    cdef int end_box(self, Py_ssize_t start) except -1
    cdef bytes finish(self)


cdef inline void put_u16(uint8_t *to, uint16_t value) noexcept nogil:
    to[0] = value >> 8
    to[1] = value & 0xFF


cdef inline void put_u32(uint8_t *to, uint32_t value) noexcept nogil:
    to[0] = value >> 24
    to[1] = (value >> 16) & 0xFF
    to[2] = (value >> 8) & 0xFF
    to[3] = value & 0xFF
