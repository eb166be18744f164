from libc.stdint cimport uint8_t


cdef enum:
    NAL_LENGTH_SIZE = 4


cdef enum NalType:
    NAL_IDR = 5
    NAL_SPS = 7
    NAL_PPS = 8
    NAL_ACCESS_UNIT_DELIMITER = 9
    NAL_FILLER = 12
    NAL_SPS_EXTENSION = 13


cdef struct Nal:
    const uint8_t *data
    Py_ssize_t size


cdef struct AnnexB:
    const uint8_t *at  # first byte after a start code; NULL when all NAL units are read
    const uint8_t *end


cdef inline uint8_t nal_type(const Nal *nal) noexcept nogil:
    return nal.data[0] & 0x1F


cdef int open_annexb(AnnexB *stream, const uint8_t *data, Py_ssize_t size) except -1
cdef int next_nal(AnnexB *stream, Nal *nal) except -1
