"""The init segment (CMAF header) of one track.

    ftyp
    moov
      mvhd
      trak
        tkhd
        edts            only where the first sample is not presented at media time 0
          elst
        mdia
          mdhd
          hdlr
          minf
            vmhd | smhd
            dinf
              dref
                url
            stbl
              stsd
              stts stsc stsz stco       empty: the samples are in the segments
      mvex
        trex

Durations are 0 everywhere: they are not known, and rfc8216bis 3.1.2 demands it.
"""

from libc.stdint cimport uint32_t

from native.stsd_writer cimport TRACK_ID, Track, write_stsd
from native.box_writer cimport BoxWriter

cdef enum:
    TKHD_TRACK_ENABLED = 0x000001
    TKHD_TRACK_IN_MOVIE = 0x000002
    VMHD_FLAGS = 0x000001
    URL_SELF_CONTAINED = 0x000001
    FIXED_16_16_ONE = 0x00010000
    FIXED_8_8_ONE = 0x0100
    LANGUAGE_UND = 0x55C4  # three letters of five bits each


cdef bytes write_init(Track track):
    cdef BoxWriter out = BoxWriter(1024)
    write_ftyp(out)
    write_moov(out, track)
    return out.finish()


cdef int write_ftyp(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_box(b"ftyp")
    out.raw(b"iso6", 4)  # major_brand
    out.u32(0)  # minor_version
    out.raw(b"iso6cmfc", 8)  # compatible_brands
    return out.end_box(box)


cdef int write_moov(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"moov")
    write_mvhd(out, track)
    write_trak(out, track)
    write_mvex(out)
    return out.end_box(box)


cdef int write_mvhd(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"mvhd", 0, 0)
    out.u32(0)  # creation_time
    out.u32(0)  # modification_time
    out.u32(track.timescale)
    out.u32(0)  # duration
    out.u32(FIXED_16_16_ONE)  # rate
    out.u16(FIXED_8_8_ONE)  # volume
    out.zeros(10)  # reserved
    write_matrix(out)
    out.zeros(24)  # pre_defined
    out.u32(TRACK_ID + 1)  # next_track_ID
    return out.end_box(box)


cdef int write_matrix(BoxWriter out) except -1:
    """The identity, in 16.16 and (last column) 2.30 fixed point."""
    cdef uint32_t value
    for value in (FIXED_16_16_ONE, 0, 0, 0, FIXED_16_16_ONE, 0, 0, 0, 0x40000000):
        out.u32(value)
    return 0


cdef int write_trak(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"trak")
    write_tkhd(out, track)
    if track.media_time > 0:
        write_edts(out, track)
    write_mdia(out, track)
    return out.end_box(box)


cdef int write_tkhd(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(
        b"tkhd", 0, TKHD_TRACK_ENABLED | TKHD_TRACK_IN_MOVIE
    )
    out.u32(0)  # creation_time
    out.u32(0)  # modification_time
    out.u32(TRACK_ID)
    out.u32(0)  # reserved
    out.u32(0)  # duration
    out.zeros(8)  # reserved
    out.u16(0)  # layer
    out.u16(0)  # alternate_group
    out.u16(0 if track.is_video else FIXED_8_8_ONE)  # volume
    out.u16(0)  # reserved
    write_matrix(out)
    out.u32(<uint32_t>track.width << 16)
    out.u32(<uint32_t>track.height << 16)
    return out.end_box(box)


cdef int write_edts(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"edts")
    write_elst(out, track)
    return out.end_box(box)


cdef int write_elst(BoxWriter out, Track track) except -1:
    """One entry: Chromium ignores the whole list if the first is an empty edit."""
    cdef Py_ssize_t box = out.start_full_box(b"elst", 0, 0)
    out.u32(1)  # entry_count
    out.u32(0)  # segment_duration: to the end
    out.u32(track.media_time)
    out.u16(1)  # media_rate_integer
    out.u16(0)  # media_rate_fraction
    return out.end_box(box)


cdef int write_mdia(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"mdia")
    write_mdhd(out, track)
    write_hdlr(out, track)
    write_minf(out, track)
    return out.end_box(box)


cdef int write_mdhd(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"mdhd", 0, 0)
    out.u32(0)  # creation_time
    out.u32(0)  # modification_time
    out.u32(track.timescale)
    out.u32(0)  # duration
    out.u16(LANGUAGE_UND)
    out.u16(0)  # pre_defined
    return out.end_box(box)


cdef int write_hdlr(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"hdlr", 0, 0)
    out.u32(0)  # pre_defined
    out.raw(b"vide" if track.is_video else b"soun", 4)  # handler_type
    out.zeros(12)  # reserved
    out.u8(0)  # name, empty
    return out.end_box(box)


cdef int write_minf(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"minf")
    if track.is_video:
        write_vmhd(out)
    else:
        write_smhd(out)
    write_dinf(out)
    write_stbl(out, track)
    return out.end_box(box)


cdef int write_vmhd(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"vmhd", 0, VMHD_FLAGS)
    out.u16(0)  # graphicsmode
    out.zeros(6)  # opcolor
    return out.end_box(box)


cdef int write_smhd(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"smhd", 0, 0)
    out.u16(0)  # balance
    out.u16(0)  # reserved
    return out.end_box(box)


cdef int write_dinf(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_box(b"dinf")
    write_dref(out)
    return out.end_box(box)


cdef int write_dref(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"dref", 0, 0)
    out.u32(1)  # entry_count
    out.end_box(out.start_full_box(b"url ", 0, URL_SELF_CONTAINED))
    return out.end_box(box)


cdef int write_stbl(BoxWriter out, Track track) except -1:
    cdef Py_ssize_t box = out.start_box(b"stbl")
    write_stsd(out, track)
    write_empty_table(out, b"stts")
    write_empty_table(out, b"stsc")
    write_empty_stsz(out)
    write_empty_table(out, b"stco")
    return out.end_box(box)


cdef int write_empty_table(BoxWriter out, const char *fourcc) except -1:
    cdef Py_ssize_t box = out.start_full_box(fourcc, 0, 0)
    out.u32(0)  # entry_count
    return out.end_box(box)


cdef int write_empty_stsz(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"stsz", 0, 0)
    out.u32(0)  # sample_size
    out.u32(0)  # sample_count
    return out.end_box(box)


cdef int write_mvex(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_box(b"mvex")
    write_trex(out)
    return out.end_box(box)


cdef int write_trex(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"trex", 0, 0)
    out.u32(TRACK_ID)
    out.u32(1)  # default_sample_description_index
    out.u32(0)  # default_sample_duration: each segment's tfhd or trun has it, and the others
    out.u32(0)  # default_sample_size
    out.u32(0)  # default_sample_flags
    return out.end_box(box)
