"""The samples of one segment as C values, checked, their bytes still where the caller has them."""

import cython

from cpython.buffer cimport PyBUF_READ
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cpython.memoryview cimport PyMemoryView_GET_BUFFER, PyMemoryView_GetContiguous

from native.h264 cimport (
    NAL_ACCESS_UNIT_DELIMITER,
    NAL_FILLER,
    NAL_LENGTH_SIZE,
    NAL_PPS,
    NAL_SPS,
    NAL_SPS_EXTENSION,
    AnnexB,
    Nal,
    nal_type,
    next_nal,
    open_annexb,
)

cdef enum:
    MAX_SAMPLES = 1 << 24  # keeps every size computed from the count far from overflow
    MAX_TICKS = 0x7FFFFFFF  # libavformat reads the 32-bit fields as signed
    MAX_SAMPLE_SIZE = 0x7FFFFFFF


@cython.final
cdef class Samples:
    def __cinit__(self, rows not None, *, bint annexb):
        cdef tuple fixed = tuple(rows)
        cdef Py_ssize_t index
        if not 1 <= len(fixed) <= MAX_SAMPLES:
            raise ValueError(f"samples: expected 1..{MAX_SAMPLES}, got {len(fixed)}")
        self.annexb = annexb
        self._views = []
        self.items = <Sample *>PyMem_Calloc(len(fixed), sizeof(Sample))
        if self.items is NULL:
            raise MemoryError
        for index, row in enumerate(fixed):
            try:
                self._add(row)
            except ValueError as exc:
                raise ValueError(f"samples[{index}]: {exc}") from None
        if not self.items[0].is_sync:
            raise ValueError("samples[0]: a segment starts with a sync sample")

    def __dealloc__(self):
        PyMem_Free(self.items)
        PyMem_Free(self.pieces)

    cdef int _add(self, object row) except -1:
        data, duration, composition_offset, is_sync = row
        cdef Sample *sample = &self.items[self.count]
        sample.duration = <uint32_t>checked_int(duration, 1, MAX_TICKS, "duration")
        sample.composition_offset = <uint32_t>checked_int(
            composition_offset, 0, MAX_TICKS, "composition_offset"
        )
        sample.is_sync = bool(is_sync)
        view = PyMemoryView_GetContiguous(data, PyBUF_READ, c"C")
        self._views.append(view)
        cdef Py_buffer *buffer = PyMemoryView_GET_BUFFER(view)
        self._cut(<const uint8_t *>buffer.buf, buffer.len, sample)
        self.count += 1
        self.payload_size += sample.size
        self.duration += sample.duration
        return 0

    cdef int _cut(self, const uint8_t *data, Py_ssize_t size, Sample *sample) except -1:
        """Parameter sets are in the init segment, and an avc1 track must not repeat them
        (14496-15, 5.3.2); delimiters and filler carry nothing. SEI stays: captions, HDR and
        timing travel in it, and the muxer cannot tell which of them a player wants."""
        cdef AnnexB stream
        cdef Nal nal
        if not self.annexb:
            return self._add_piece(data, size, sample)
        open_annexb(&stream, data, size)
        while next_nal(&stream, &nal):
            if nal_type(&nal) not in (
                NAL_SPS, NAL_PPS, NAL_ACCESS_UNIT_DELIMITER, NAL_FILLER, NAL_SPS_EXTENSION
            ):
                self._add_piece(nal.data, nal.size, sample)
        if sample.size == 0:
            raise ValueError("no NAL unit is left without parameter sets, delimiter and filler")
        return 0

    cdef int _add_piece(self, const uint8_t *data, Py_ssize_t size, Sample *sample) except -1:
        cdef Py_ssize_t prefix = NAL_LENGTH_SIZE if self.annexb else 0
        cdef Py_ssize_t capacity
        cdef Piece *grown
        if not 1 <= size <= MAX_SAMPLE_SIZE - prefix - <Py_ssize_t>sample.size:
            raise ValueError(f"expected 1..{MAX_SAMPLE_SIZE} bytes, got {size}")
        if self.piece_count == self._piece_capacity:
            capacity = max(256, 2 * self._piece_capacity)
            grown = <Piece *>PyMem_Realloc(self.pieces, capacity * sizeof(Piece))
            if grown is NULL:
                raise MemoryError
            self.pieces, self._piece_capacity = grown, capacity
        self.pieces[self.piece_count] = Piece(data, <uint32_t>size)
        self.piece_count += 1
        sample.size += <uint32_t>(prefix + size)
        return 0


cdef int64_t checked_int(object value, int64_t low, int64_t high, str name) except? -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not low <= number <= high:
        raise ValueError(f"{name} must be {low}..{high}, got {value}")
    return number
