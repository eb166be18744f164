from native.stsd_writer cimport Track


cdef bytes write_init(Track track)
