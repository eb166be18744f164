"""What describes the samples: the sample entries of 14496-12, -14 and -15.

    stsd
      avc1 { avcC colr pasp } | mp4a { esds }

    esds: ES_Descriptor { DecoderConfigDescriptor { DecoderSpecificInfo } SLConfigDescriptor }
"""

from libc.stdint cimport uint8_t

cdef enum:
    DATA_REFERENCE_INDEX = 1
    RESOLUTION_72_DPI = 0x00480000
    DEPTH_COLOUR = 0x0018
    PCM_SAMPLE_SIZE = 16  # bits; 14496-14 wants this value for every codec
    COLR_FULL_RANGE = 0x80

    # 14496-1, 7.2.6, and 14496-14, 3.1.2
    ES_DESCRIPTOR = 3
    DECODER_CONFIG_DESCRIPTOR = 4
    DECODER_SPECIFIC_INFO = 5
    SL_CONFIG_DESCRIPTOR = 6
    ES_DESCRIPTOR_SIZE = 3  # without the descriptors inside
    DECODER_CONFIG_SIZE = 13  # likewise
    SL_CONFIG_SIZE = 1
    SL_PREDEFINED_MP4 = 2
    OBJECT_TYPE_AAC = 0x40
    STREAM_TYPE_AUDIO = 0x15  # 5 << 2, upstream 0, reserved 1
    AAC_BUFFER_SIZE_PER_CHANNEL = 768  # 14496-3: 6144 bits


cdef class Track:
    pass


cdef int write_stsd(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"stsd", 0, 0)
    out.u32(1)  # entry_count
    if track.is_video:
        write_avc1(out, track)
    else:
        write_mp4a(out, track)
    return out.end_box(box)


cdef int write_avc1(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"avc1")
    out.zeros(6)  # reserved
    out.u16(DATA_REFERENCE_INDEX)
    out.zeros(16)  # pre_defined, reserved
    out.u16(track.width)
    out.u16(track.height)
    out.u32(RESOLUTION_72_DPI)  # horizresolution
    out.u32(RESOLUTION_72_DPI)  # vertresolution
    out.u32(0)  # reserved
    out.u16(1)  # frame_count
    out.zeros(32)  # compressorname
    out.u16(DEPTH_COLOUR)
    out.u16(0xFFFF)  # pre_defined
    write_avcc(out, track.avcc)
    write_colr(out, track)
    write_pasp(out)
    return out.end_box(box)


cdef int write_avcc(BoxWriter out, bytes avcc) except -1:
    cdef Py_ssize_t box = out.start_box(b"avcC")
    out.raw(<const char *>avcc, len(avcc))
    return out.end_box(box)


cdef int write_colr(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"colr")
    out.raw(b"nclx", 4)  # colour_type
    out.u16(track.colour_primaries)
    out.u16(track.transfer_characteristics)
    out.u16(track.matrix_coefficients)
    out.u8(COLR_FULL_RANGE if track.full_range else 0)
    return out.end_box(box)


cdef int write_pasp(BoxWriter out) except -1:
    """Square: the transcoder scales every other aspect ratio away."""
    cdef Py_ssize_t box = out.start_box(b"pasp")
    out.u32(1)  # hSpacing
    out.u32(1)  # vSpacing
    return out.end_box(box)


cdef int write_mp4a(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"mp4a")
    out.zeros(6)  # reserved
    out.u16(DATA_REFERENCE_INDEX)
    out.zeros(8)  # reserved
    out.u16(track.channels)
    out.u16(PCM_SAMPLE_SIZE)
    out.u32(0)  # pre_defined, reserved
    out.u32(track.timescale << 16)  # samplerate
    write_esds(out, track)
    return out.end_box(box)


cdef int write_esds(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"esds", 0, 0)
    cdef Py_ssize_t asc_size = len(track.asc)
    cdef Py_ssize_t config_size = DECODER_CONFIG_SIZE + descriptor_size(asc_size)
    start_descriptor(
        out,
        ES_DESCRIPTOR,
        ES_DESCRIPTOR_SIZE + descriptor_size(config_size) + descriptor_size(SL_CONFIG_SIZE),
    )
    out.u16(0)  # ES_ID
    out.u8(0)  # no dependency, URL or clock reference; streamPriority 0
    start_descriptor(out, DECODER_CONFIG_DESCRIPTOR, config_size)
    write_decoder_config(out, track)
    start_descriptor(out, DECODER_SPECIFIC_INFO, asc_size)
    out.raw(<const char *>track.asc, asc_size)
    start_descriptor(out, SL_CONFIG_DESCRIPTOR, SL_CONFIG_SIZE)
    out.u8(SL_PREDEFINED_MP4)
    return out.end_box(box)


cdef int write_decoder_config(BoxWriter out, Track track) except -1:
    cdef uint32_t buffer_size = AAC_BUFFER_SIZE_PER_CHANNEL * track.channels
    out.u8(OBJECT_TYPE_AAC)
    out.u8(STREAM_TYPE_AUDIO)
    out.u8(<uint8_t>(buffer_size >> 16))
    out.u16(<uint16_t>(buffer_size & 0xFFFF))
    out.u32(track.bit_rate)  # maxBitrate
    out.u32(track.bit_rate)  # avgBitrate
    return 0


cdef int start_descriptor(BoxWriter out, uint8_t tag, Py_ssize_t size) except -1:
    """The size has seven bits a byte, most significant first; all but the last byte have bit 7."""
    cdef int shift = 7 * (length_bytes(size) - 1)
    out.u8(tag)
    while shift > 0:
        out.u8(<uint8_t>(0x80 | (size >> shift) & 0x7F))
        shift -= 7
    out.u8(<uint8_t>(size & 0x7F))
    return 0


cdef int length_bytes(Py_ssize_t size) noexcept:
    cdef int count = 1
    while size >> (7 * count):
        count += 1
    return count


cdef Py_ssize_t descriptor_size(Py_ssize_t content) noexcept:
    return 1 + length_bytes(content) + content
