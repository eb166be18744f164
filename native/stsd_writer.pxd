from libc.stdint cimport uint16_t, uint32_t

from native.box_writer cimport BoxWriter


cdef enum:
    TRACK_ID = 1  # one track per file


cdef class Track:
    cdef:
        bint is_video
        uint32_t timescale  # of an audio track: its sample rate

        uint16_t width
        uint16_t height
        uint32_t media_time  # ticks; what of the media timeline is presented first
        bytes avcc  # AVCDecoderConfigurationRecord
        uint16_t colour_primaries
        uint16_t transfer_characteristics
        uint16_t matrix_coefficients
        bint full_range

        uint16_t channels
        bytes asc  # AudioSpecificConfig
        uint32_t bit_rate  # bit/s


cdef int write_stsd(BoxWriter out, Track track) except -1
