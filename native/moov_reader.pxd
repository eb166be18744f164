from native.box_reader cimport BoxReader


cdef dict read_moov(BoxReader moov)
