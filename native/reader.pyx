"""Reads a stored init segment or media segment back, independently of the writer.

    ftyp        styp
    moov        moof { mfhd traf { tfhd tfdt trun } }
                mdat

Exactly these boxes in this order are accepted and nothing may be left over. The bytes may be
anything: the answer is facts, or a ValueError that names the box and its offset, in time linear
in their number.
"""

from typing import NamedTuple

from libc.stdint cimport INT32_MAX, INT64_MAX, UINT32_MAX, UINT64_MAX, uint32_t, uint64_t

from native.box_reader cimport BoxReader, open_file
from native.moov_reader cimport read_moov

cdef enum:

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
    SAMPLE_IS_NON_SYNC = 0x00010000

    NAL_LENGTH_SIZE = 4
    NAL_SLICE = 1  # the first of the types of coded slices, and the last one:
    NAL_IDR = 5
    NAL_SPS = 7
    NAL_PPS = 8


class InitInfo(NamedTuple):
    handler: str
    track_id: int
    timescale: int
    media_time: int
    codecs: str
    nal_length_size: int = 0
    width: int | None = None
    height: int | None = None
    colour: tuple[int, int, int, bool] | None = None
    channels: int | None = None
    sample_rate: int | None = None


class SegmentInfo(NamedTuple):
    track_id: int
    sequence_number: int
    decode_time: int
    duration: int
    presentation_start: int
    sample_count: int
    min_composition_offset: int
    max_composition_offset: int
    sync_samples: tuple[int, ...]
    idr_samples: tuple[int, ...]
    first_nal_types: tuple[int, ...]

    @property
    def starts_with_idr(self):
        return 0 in (self.idr_samples if self.first_nal_types else self.sync_samples)


def read_init(data):
    cdef BoxReader file = open_file(data)
    read_brands(file.child(b"ftyp"), b"iso6", b"cmfc")
    cdef BoxReader moov = file.child(b"moov")
    file.finish()
    return InitInfo(**read_moov(moov))


cdef int read_brands(BoxReader box, bytes first, bytes second) except -1:
    box.skip(8)  # major_brand, minor_version
    if box.left() % 4:
        raise box.error(f"brands of {box.left()} bytes")
    brands = set()
    while box.left():
        brands.add(box.raw(4))
    if not {first, second} <= brands:
        raise box.error(f"expected brands {first!r} and {second!r}, got {sorted(brands)}")
    return 0


cdef struct Sample:
    uint32_t duration
    uint32_t size
    uint32_t flags
    uint32_t composition_offset


cdef struct Fragment:
    uint32_t track_id
    uint32_t sequence_number
    uint64_t decode_time
    Sample defaults  # of the tfhd; all 0 where it says nothing
    uint32_t trun_flags
    uint32_t sample_count
    uint32_t first_sample_flags


def read_segment(data, *, nal_length_size):
    if nal_length_size not in (0, NAL_LENGTH_SIZE):
        raise ValueError(f"nal_length_size must be 0 or {NAL_LENGTH_SIZE}, got {nal_length_size}")
    cdef Fragment fragment
    cdef BoxReader file = open_file(data)
    read_brands(file.child(b"styp"), b"cmfs", b"msdh")
    cdef BoxReader moof = file.child(b"moof")
    cdef BoxReader mdat = file.child(b"mdat")
    file.finish()
    cdef BoxReader mfhd = moof.child(b"mfhd")
    cdef BoxReader traf = moof.child(b"traf")
    moof.finish()
    mfhd.full_box_flags(0)
    fragment.sequence_number = mfhd.u32()
    mfhd.finish()
    read_tfhd(traf.child(b"tfhd"), &fragment)
    read_tfdt(traf.child(b"tfdt"), &fragment)
    cdef BoxReader trun = traf.child(b"trun")
    traf.finish()
    read_trun_head(trun, &fragment, mdat.position - moof.start)
    # Each sample has a byte at least; without this a trun of 20 bytes could ask for 2**32 rounds.
    if not 1 <= fragment.sample_count <= mdat.left():
        raise trun.error(f"{fragment.sample_count} samples in {mdat.left()} bytes of mdat")
    info = read_samples(trun, mdat, &fragment, nal_length_size != 0)
    trun.finish()
    mdat.finish()
    return info


cdef int read_tfhd(BoxReader tfhd, Fragment *fragment) except -1:
    cdef uint32_t flags = tfhd.full_box_flags(0)
    cdef uint32_t optional = (
        TFHD_DEFAULT_SAMPLE_DURATION | TFHD_DEFAULT_SAMPLE_SIZE | TFHD_DEFAULT_SAMPLE_FLAGS
    )
    tfhd.expect("flags besides the optional ones", flags & ~optional, TFHD_DEFAULT_BASE_IS_MOOF)
    fragment.track_id = tfhd.u32()
    fragment.defaults.duration = tfhd.u32() if flags & TFHD_DEFAULT_SAMPLE_DURATION else 0
    fragment.defaults.size = tfhd.u32() if flags & TFHD_DEFAULT_SAMPLE_SIZE else 0
    fragment.defaults.flags = tfhd.u32() if flags & TFHD_DEFAULT_SAMPLE_FLAGS else 0
    fragment.defaults.composition_offset = 0
    return tfhd.finish()


cdef int read_tfdt(BoxReader tfdt, Fragment *fragment) except -1:
    tfdt.full_box_flags(1)
    fragment.decode_time = tfdt.u64()
    if fragment.decode_time > INT64_MAX:
        raise tfdt.error(f"decode time {fragment.decode_time}")
    return tfdt.finish()


cdef int read_trun_head(BoxReader trun, Fragment *fragment, uint64_t data_offset) except -1:
    cdef uint32_t flags = trun.full_box_flags(0)
    cdef uint32_t optional = (
        TRUN_FIRST_SAMPLE_FLAGS
        | TRUN_SAMPLE_DURATION
        | TRUN_SAMPLE_SIZE
        | TRUN_SAMPLE_FLAGS
        | TRUN_SAMPLE_COMPOSITION_OFFSET
    )
    trun.expect("flags besides the optional ones", flags & ~optional, TRUN_DATA_OFFSET)
    if flags & TRUN_FIRST_SAMPLE_FLAGS and flags & TRUN_SAMPLE_FLAGS:
        raise trun.error("flags of the first sample are given twice")
    fragment.trun_flags = flags
    fragment.sample_count = trun.u32()
    trun.expect("data_offset", trun.u32(), data_offset)
    if flags & TRUN_FIRST_SAMPLE_FLAGS:
        fragment.first_sample_flags = trun.u32()
    else:
        fragment.first_sample_flags = fragment.defaults.flags
    return 0


cdef int read_sample(
    BoxReader trun, Fragment *fragment, uint32_t index, Sample *sample
) except -1:
    sample[0] = fragment.defaults
    if index == 0:
        sample.flags = fragment.first_sample_flags
    if fragment.trun_flags & TRUN_SAMPLE_DURATION:
        sample.duration = trun.u32()
    if fragment.trun_flags & TRUN_SAMPLE_SIZE:
        sample.size = trun.u32()
    if fragment.trun_flags & TRUN_SAMPLE_FLAGS:
        sample.flags = trun.u32()
    if fragment.trun_flags & TRUN_SAMPLE_COMPOSITION_OFFSET:
        sample.composition_offset = trun.u32()
    if not 1 <= sample.duration <= INT32_MAX or sample.size == 0:
        raise trun.error(f"sample {index}: duration {sample.duration}, size {sample.size}")
    if sample.composition_offset > INT32_MAX:
        raise trun.error(f"sample {index}: composition offset {sample.composition_offset}")
    return 0


cdef object read_samples(BoxReader trun, BoxReader mdat, Fragment *fragment, bint is_avc):
    cdef Sample sample
    cdef uint64_t duration = 0  # below 2**63: the mdat has fewer than 2**32 samples
    cdef uint64_t start = UINT64_MAX
    cdef uint32_t least = UINT32_MAX, most = 0, index
    cdef list sync_samples = [], idr_samples = [], first_nal_types = [], nal_types = []
    for index in range(fragment.sample_count):
        read_sample(trun, fragment, index, &sample)
        if is_avc:
            nal_types = read_nal_types(mdat.part(sample.size, f"mdat, sample {index}"))
        else:
            mdat.skip(sample.size)
        if index == 0:
            first_nal_types = nal_types
        if NAL_IDR in nal_types:
            idr_samples.append(index)
        if not sample.flags & SAMPLE_IS_NON_SYNC:
            sync_samples.append(index)
        least = min(least, sample.composition_offset)
        most = max(most, sample.composition_offset)
        start = min(start, fragment.decode_time + duration + sample.composition_offset)
        duration += sample.duration
    return SegmentInfo(
        track_id=fragment.track_id,
        sequence_number=fragment.sequence_number,
        decode_time=fragment.decode_time,
        duration=duration,
        presentation_start=start,
        sample_count=fragment.sample_count,
        min_composition_offset=least,
        max_composition_offset=most,
        sync_samples=tuple(sync_samples),
        idr_samples=tuple(idr_samples),
        first_nal_types=tuple(first_nal_types),
    )


cdef list read_nal_types(BoxReader sample):
    cdef list types = []
    cdef BoxReader nal
    cdef uint32_t nal_type
    cdef bint has_picture = False
    while sample.left():
        nal = sample.part(sample.u32(), sample.name)
        nal_type = nal.u8() & 0x1F
        if nal_type in (NAL_SPS, NAL_PPS):
            raise nal.error("parameter set inside an avc1 track")
        has_picture = has_picture or NAL_SLICE <= nal_type <= NAL_IDR
        types.append(nal_type)
    if not has_picture:
        raise sample.error(f"no picture, only NAL types {types}")
    return types
