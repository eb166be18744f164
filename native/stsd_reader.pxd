from libc.stdint cimport uint32_t

from native.box_reader cimport BoxReader


cdef dict read_avc1(BoxReader avc1)
cdef dict read_mp4a(BoxReader mp4a, uint32_t timescale)
