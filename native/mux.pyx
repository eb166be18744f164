"""The CMAF writer: one track per file, one fragment per segment.

    styp
    moof
      mfhd          sequence_number
      traf
        tfhd        default-base-is-moof, and what all samples share
        tfdt        version 1
        trun        version 0, what the samples do not share
    mdat

Sizes are known before a byte is written, and the input bytes are copied once.
"""

from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from native.h264 import avc_codecs

from native.h264 cimport NAL_LENGTH_SIZE
from native.moov_writer cimport write_init
from native.samples cimport Piece, Sample, Samples, checked_int
from native.stsd_writer cimport TRACK_ID, Track
from native.box_writer cimport BoxWriter, put_u32

cdef enum:
    MAX_U16 = 0xFFFF
    MAX_U31 = 0x7FFFFFFF  # libavformat reads 32-bit times as signed
    MAX_CODE_POINT = 255  # 23091-2
    MAX_CHANNELS = 8
    MIN_ASC_SIZE = 2
    MAX_ASC_SIZE = 1024

    TFHD_DEFAULT_SAMPLE_DURATION = 0x000008
    TFHD_DEFAULT_SAMPLE_SIZE = 0x000010
    TFHD_DEFAULT_SAMPLE_FLAGS = 0x000020
    TFHD_DEFAULT_BASE_IS_MOOF = 0x020000

    TRUN_DATA_OFFSET = 0x000001
    TRUN_FIRST_SAMPLE_FLAGS = 0x000004
    TRUN_SAMPLE_DURATION = 0x000100
    TRUN_SAMPLE_SIZE = 0x000200
    TRUN_SAMPLE_FLAGS = 0x000400
    TRUN_SAMPLE_COMPOSITION_OFFSET = 0x000800

    # sample_depends_on 2; sample_depends_on 1 and sample_is_non_sync_sample. Chromium reads both.
    SYNC_SAMPLE = 0x02000000
    NON_SYNC_SAMPLE = 0x01010000

    BOX_HEADER_SIZE = 8
    STYP_SIZE = 24
    MFHD_SIZE = 16
    TFDT_SIZE = 20


def video_init(*, timescale, width, height, bytes avcc not None, media_time, tuple colour not None):
    cdef Track track = Track()
    primaries, transfer, matrix, full_range = colour
    avc_codecs(avcc)  # refuses what is no complete record
    track.is_video = True
    track.timescale = checked_int(timescale, 1, MAX_U31, "timescale")
    track.width = checked_int(width, 1, MAX_U16, "width")
    track.height = checked_int(height, 1, MAX_U16, "height")
    track.media_time = checked_int(media_time, 0, MAX_U31, "media_time")
    track.avcc = avcc
    track.colour_primaries = checked_int(primaries, 0, MAX_CODE_POINT, "colour primaries")
    track.transfer_characteristics = checked_int(transfer, 0, MAX_CODE_POINT, "colour transfer")
    track.matrix_coefficients = checked_int(matrix, 0, MAX_CODE_POINT, "colour matrix")
    track.full_range = bool(full_range)
    return write_init(track)


def audio_init(*, timescale, channels, bytes asc not None, bit_rate):
    cdef Track track = Track()
    track.timescale = checked_int(timescale, 1, MAX_U16, "timescale")  # as samplerate: 16.16
    track.channels = checked_int(channels, 1, MAX_CHANNELS, "channels")
    track.bit_rate = checked_int(bit_rate, 1, UINT32_MAX, "bit_rate")
    track.asc = asc
    checked_int(len(asc), MIN_ASC_SIZE, MAX_ASC_SIZE, "size of asc")
    return write_init(track)


def segment(samples, *, sequence_number, base_media_decode_time, annexb=False):
    """`samples` are (data, duration, composition_offset, is_sync), times in ticks.

    `annexb` says that the data are H.264 access units with start codes: they are written with
    NAL lengths of 4 bytes, without parameter sets, delimiters and filler.
    """
    cdef uint32_t number = checked_int(sequence_number, 0, UINT32_MAX, "sequence_number")
    cdef Samples fragment = Samples(samples, annexb=annexb)
    cdef uint64_t decode_time = checked_int(
        base_media_decode_time, 0, INT64_MAX - <int64_t>fragment.duration, "base_media_decode_time"
    )
    cdef Layout layout = choose_layout(fragment)
    cdef uint64_t mdat_size = BOX_HEADER_SIZE + fragment.payload_size
    if mdat_size > UINT32_MAX:
        raise ValueError(f"samples: mdat of {mdat_size} bytes, its size field has 32 bits")
    cdef Py_ssize_t size = STYP_SIZE + layout.moof_size + <Py_ssize_t>mdat_size
    cdef BoxWriter out = BoxWriter(size)
    write_styp(out)
    write_moof(out, fragment, &layout, number, decode_time)
    write_mdat(out, fragment)
    assert out.position == size
    return out.finish()


cdef struct Layout:
    uint32_t tfhd_flags
    uint32_t trun_flags
    uint32_t default_sample_flags
    Py_ssize_t tfhd_size
    Py_ssize_t entry_size  # of one sample in the trun
    Py_ssize_t trun_size
    Py_ssize_t traf_size
    Py_ssize_t moof_size


cdef Layout choose_layout(Samples fragment) noexcept:
    cdef Layout layout
    choose_flags(fragment, &layout)
    layout.tfhd_size = 16 + 4 * (
        has(layout.tfhd_flags, TFHD_DEFAULT_SAMPLE_DURATION)
        + has(layout.tfhd_flags, TFHD_DEFAULT_SAMPLE_SIZE)
        + has(layout.tfhd_flags, TFHD_DEFAULT_SAMPLE_FLAGS)
    )
    layout.entry_size = 4 * (
        has(layout.trun_flags, TRUN_SAMPLE_DURATION)
        + has(layout.trun_flags, TRUN_SAMPLE_SIZE)
        + has(layout.trun_flags, TRUN_SAMPLE_FLAGS)
        + has(layout.trun_flags, TRUN_SAMPLE_COMPOSITION_OFFSET)
    )
    layout.trun_size = (
        20 + 4 * has(layout.trun_flags, TRUN_FIRST_SAMPLE_FLAGS)
        + layout.entry_size * fragment.count
    )
    layout.traf_size = BOX_HEADER_SIZE + layout.tfhd_size + TFDT_SIZE + layout.trun_size
    layout.moof_size = BOX_HEADER_SIZE + MFHD_SIZE + layout.traf_size
    return layout


cdef inline int has(uint32_t flags, uint32_t flag) noexcept:
    return 1 if flags & flag else 0


cdef int choose_flags(Samples fragment, Layout *layout) noexcept:
    """What all samples share is written once, in the tfhd."""
    cdef Sample *first = &fragment.items[0]
    cdef Sample *sample
    cdef Py_ssize_t index, sync_count = 0
    cdef bint same_duration = True, same_size = True, no_offset = True
    for index in range(fragment.count):
        sample = &fragment.items[index]
        same_duration = same_duration and sample.duration == first.duration
        same_size = same_size and sample.size == first.size
        no_offset = no_offset and sample.composition_offset == 0
        sync_count += sample.is_sync

    layout.tfhd_flags = TFHD_DEFAULT_BASE_IS_MOOF
    layout.trun_flags = TRUN_DATA_OFFSET
    if same_duration:
        layout.tfhd_flags |= TFHD_DEFAULT_SAMPLE_DURATION
    else:
        layout.trun_flags |= TRUN_SAMPLE_DURATION
    if same_size:
        layout.tfhd_flags |= TFHD_DEFAULT_SAMPLE_SIZE
    else:
        layout.trun_flags |= TRUN_SAMPLE_SIZE
    if not no_offset:
        layout.trun_flags |= TRUN_SAMPLE_COMPOSITION_OFFSET
    choose_sample_flags(fragment.count, sync_count, layout)
    return 0


cdef int choose_sample_flags(
    Py_ssize_t count, Py_ssize_t sync_count, Layout *layout
) noexcept:
    """The first sample is a sync sample; with the usual single GOP it is the only one."""
    layout.default_sample_flags = SYNC_SAMPLE if sync_count == count else NON_SYNC_SAMPLE
    if sync_count == count:
        layout.tfhd_flags |= TFHD_DEFAULT_SAMPLE_FLAGS
    elif sync_count == 1:
        layout.tfhd_flags |= TFHD_DEFAULT_SAMPLE_FLAGS
        layout.trun_flags |= TRUN_FIRST_SAMPLE_FLAGS
    else:
        layout.trun_flags |= TRUN_SAMPLE_FLAGS
    return 0


cdef int write_styp(BoxWriter out) except -1:
    cdef Py_ssize_t box = out.start_box(b"styp")
    out.raw(b"cmfs", 4)  # major_brand
    out.u32(0)  # minor_version
    out.raw(b"cmfsmsdh", 8)  # compatible_brands
    return out.end_box(box)


cdef int write_moof(
    BoxWriter out, Samples fragment, Layout *layout, uint32_t number, uint64_t decode_time
) except -1:
    cdef Py_ssize_t box = out.start_box(b"moof")
    write_mfhd(out, number)
    write_traf(out, fragment, layout, decode_time)
    return out.end_box(box)


cdef int write_mfhd(BoxWriter out, uint32_t number) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"mfhd", 0, 0)
    out.u32(number)
    return out.end_box(box)


cdef int write_traf(
    BoxWriter out, Samples fragment, Layout *layout, uint64_t decode_time
) except -1:
    cdef Py_ssize_t box = out.start_box(b"traf")
    write_tfhd(out, &fragment.items[0], layout)
    write_tfdt(out, decode_time)
    write_trun(out, fragment, layout)
    return out.end_box(box)


cdef int write_tfhd(BoxWriter out, Sample *first, Layout *layout) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"tfhd", 0, layout.tfhd_flags)
    out.u32(TRACK_ID)
    if layout.tfhd_flags & TFHD_DEFAULT_SAMPLE_DURATION:
        out.u32(first.duration)
    if layout.tfhd_flags & TFHD_DEFAULT_SAMPLE_SIZE:
        out.u32(first.size)
    if layout.tfhd_flags & TFHD_DEFAULT_SAMPLE_FLAGS:
        out.u32(layout.default_sample_flags)
    return out.end_box(box)


cdef int write_tfdt(BoxWriter out, uint64_t decode_time) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"tfdt", 1, 0)
    out.u64(decode_time)
    return out.end_box(box)


cdef int write_trun(BoxWriter out, Samples fragment, Layout *layout) except -1:
    cdef Py_ssize_t box = out.start_full_box(b"trun", 0, layout.trun_flags)
    out.u32(<uint32_t>fragment.count)
    out.u32(<uint32_t>(layout.moof_size + BOX_HEADER_SIZE))  # data_offset, from the moof
    if layout.trun_flags & TRUN_FIRST_SAMPLE_FLAGS:
        out.u32(SYNC_SAMPLE)
    cdef Py_ssize_t index
    cdef uint8_t *to = out.advance(layout.entry_size * fragment.count)
    for index in range(fragment.count):
        to = put_trun_entry(to, &fragment.items[index], layout.trun_flags)
    return out.end_box(box)


cdef uint8_t *put_trun_entry(uint8_t *to, Sample *sample, uint32_t flags) noexcept:
    """Where the next entry goes."""
    if flags & TRUN_SAMPLE_DURATION:
        put_u32(to, sample.duration)
        to += 4
    if flags & TRUN_SAMPLE_SIZE:
        put_u32(to, sample.size)
        to += 4
    if flags & TRUN_SAMPLE_FLAGS:
        put_u32(to, SYNC_SAMPLE if sample.is_sync else NON_SYNC_SAMPLE)
        to += 4
    if flags & TRUN_SAMPLE_COMPOSITION_OFFSET:
        put_u32(to, sample.composition_offset)
        to += 4
    return to


cdef int write_mdat(BoxWriter out, Samples fragment) except -1:
    cdef Py_ssize_t box = out.start_box(b"mdat")
    cdef uint8_t *to = out.advance(<Py_ssize_t>fragment.payload_size)
    cdef Py_ssize_t index
    cdef Piece *piece
    for index in range(fragment.piece_count):
        piece = &fragment.pieces[index]
        if fragment.annexb:
            put_u32(to, piece.size)
            to += NAL_LENGTH_SIZE
        memcpy(to, piece.data, piece.size)
        to += piece.size
    return out.end_box(box)
