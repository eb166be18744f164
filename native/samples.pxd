from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef struct Sample:
    uint32_t size  # in the mdat, NAL lengths included
    uint32_t duration  # ticks
    uint32_t composition_offset  # ticks
    bint is_sync


cdef struct Piece:
    # Input bytes that go into the mdat as they are: a NAL unit, or a whole sample.
    const uint8_t *data
    uint32_t size


cdef class Samples:
    cdef:
        Sample *items
        Py_ssize_t count
        Piece *pieces  # in the order of the mdat; they point into the views
        Py_ssize_t piece_count
        Py_ssize_t _piece_capacity
        list _views  # hold the callers' buffers in place until this object goes
        bint annexb  # in the mdat each piece gets its length in front
        uint64_t payload_size  # of the mdat
        uint64_t duration  # ticks

    cdef int _add(self, object row) except -1
    cdef int _cut(self, const uint8_t *data, Py_ssize_t size, Sample *sample) except -1
    cdef int _add_piece(self, const uint8_t *data, Py_ssize_t size, Sample *sample) except -1


cdef int64_t checked_int(object value, int64_t low, int64_t high, str name) except? -1
