from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class BoxReader:
    cdef:
        object _owner  # the view that keeps the bytes in place
        const uint8_t *_file
        str name  # four letters, for messages
        Py_ssize_t start  # of the box in the file
        Py_ssize_t position  # of the next byte to read, in the file
        Py_ssize_t end  # of the box

    cdef Py_ssize_t left(self) noexcept
    cdef const uint8_t *take(self, Py_ssize_t size) except NULL
    cdef uint8_t u8(self) except? 0xFF
    cdef uint32_t u16(self) except? 0xFFFF
    cdef uint32_t u32(self) except? 0xFFFFFFFF
    cdef uint64_t u64(self) except? 0xFFFFFFFFFFFFFFFF
    cdef bytes raw(self, Py_ssize_t size)
    cdef bint next_is(self, const char *fourcc) except -1
    cdef BoxReader child(self, const char *fourcc)
    cdef BoxReader part(self, Py_ssize_t size, str name)
    cdef uint32_t full_box_flags(self, uint8_t version) except? 0xFFFFFFFF
    cdef int skip(self, Py_ssize_t size) except -1
    cdef int expect(self, str what, uint64_t got, uint64_t wanted) except -1
    cdef int finish(self) except -1
    cdef object error(self, str problem)


cdef BoxReader open_file(object data)
