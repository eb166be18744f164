"""H.264: Annex B framing (14496-10) and the decoder configuration record, avcC (14496-15)."""

import cython

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memchr

from native.box_writer cimport BoxWriter

cdef enum:
    CONFIGURATION_VERSION = 1
    MAX_PARAMETER_SET_SIZE = 0xFFFF  # its length field in avcC has 16 bits
    MAX_PPS_COUNT = 0xFF
    MAX_EXP_GOLOMB_BITS = 31

# Without and with the chroma_format_idc group in the SPS (14496-10, 7.3.2.1.1). Scalable and
# multiview profiles are not ours to write.
cdef frozenset PLAIN_PROFILES = frozenset((66, 77, 88))
cdef frozenset HIGH_PROFILES = frozenset((44, 100, 110, 122, 244))


# Annex B: zero bytes, 00 00 01, a NAL unit, zero bytes, 00 00 01, a NAL unit, zero bytes.

cdef int open_annexb(AnnexB *stream, const uint8_t *data, Py_ssize_t size) except -1:
    cdef const uint8_t *at = _start_code(data, data + size)
    cdef const uint8_t *byte = data
    while byte < at and byte[0] == 0:
        byte += 1
    if at == data + size or byte != at:
        raise ValueError("expected it to begin with an Annex B start code")
    stream.at = at + 3
    stream.end = data + size
    return 0


cdef int next_nal(AnnexB *stream, Nal *nal) except -1:
    """1 with the next NAL unit, 0 at the end. Linear in the bytes passed over.

    A NAL unit never ends in a zero byte, so zeros before the next start code (the first byte of
    a long one is such) are framing.
    """
    if stream.at is NULL:
        return 0
    cdef const uint8_t *stop = _start_code(stream.at, stream.end)
    nal.data = stream.at
    stream.at = stop + 3 if stop != stream.end else NULL
    while stop > nal.data and (stop - 1)[0] == 0:
        stop -= 1
    nal.size = stop - nal.data
    if nal.size == 0:
        raise ValueError("found an empty NAL unit")
    return 1


cdef const uint8_t *_start_code(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """The first 00 00 01, or `end`. Looks for the 01: coded data has fewer of them than zeros."""
    cdef const uint8_t *one = at + 2
    while one < end:
        one = <const uint8_t *>memchr(one, 1, end - one)
        if one is NULL:
            return end
        if (one - 1)[0] == 0 and (one - 2)[0] == 0:
            return one - 2
        one += 1
    return end


# AVCDecoderConfigurationRecord

def avc_config(bytes annexb_extradata not None):
    cdef list sps_units = []
    cdef list pps_units = []
    _collect_parameter_sets(annexb_extradata, sps_units, pps_units)
    if len(sps_units) != 1:
        raise ValueError(f"extradata: expected one SPS, found {len(sps_units)}")
    if not 1 <= len(pps_units) <= MAX_PPS_COUNT:
        raise ValueError(f"extradata: expected 1..{MAX_PPS_COUNT} PPS, found {len(pps_units)}")
    cdef BoxWriter out = BoxWriter(len(annexb_extradata) + 32)
    _write_avc_config(out, sps_units[0], pps_units)
    return out.finish()


cdef int _collect_parameter_sets(
    bytes extradata, list sps_units, list pps_units
) except -1:
    cdef AnnexB stream
    cdef Nal nal
    cdef bytes unit
    try:
        open_annexb(&stream, extradata, len(extradata))
        while next_nal(&stream, &nal):
            if nal_type(&nal) not in (NAL_SPS, NAL_PPS):
                continue  # x264 puts its SEI there too
            if nal.size > MAX_PARAMETER_SET_SIZE:
                raise ValueError(f"found a parameter set of {nal.size} bytes")
            unit = nal.data[:nal.size]
            (sps_units if nal_type(&nal) == NAL_SPS else pps_units).append(unit)
    except ValueError as exc:
        raise ValueError(f"extradata: {exc}") from None
    return 0


cdef int _write_avc_config(BoxWriter out, bytes sps, list pps_units) except -1:
    cdef _BitReader fields = _BitReader(sps)
    profile, constraints, level = fields.bits(8), fields.bits(8), fields.bits(8)
    if profile not in PLAIN_PROFILES and profile not in HIGH_PROFILES:
        raise ValueError(f"extradata: SPS has profile_idc {profile}, which is no AVC profile")
    out.u8(CONFIGURATION_VERSION)
    out.u8(profile)
    out.u8(constraints)
    out.u8(level)
    out.u8(0xFC | (NAL_LENGTH_SIZE - 1))
    out.u8(0xE0 | 1)  # numOfSequenceParameterSets
    _write_parameter_set(out, sps)
    out.u8(len(pps_units))
    for pps in pps_units:
        _write_parameter_set(out, pps)
    if profile in HIGH_PROFILES:
        _write_high_profile_fields(out, fields)
    return 0


cdef int _write_parameter_set(BoxWriter out, bytes unit) except -1:
    out.u16(<uint16_t>len(unit))
    out.raw(<const char *>unit, len(unit))
    return 0


cdef int _write_high_profile_fields(BoxWriter out, _BitReader fields) except -1:
    fields.exp_golomb()  # seq_parameter_set_id
    chroma_format = fields.exp_golomb()
    if chroma_format == 3:
        fields.bits(1)  # separate_colour_plane_flag
    luma_depth, chroma_depth = fields.exp_golomb(), fields.exp_golomb()
    if chroma_format > 3 or luma_depth > 6 or chroma_depth > 6:
        raise ValueError(
            f"extradata: SPS has chroma_format_idc {chroma_format} and bit depths"
            f" {luma_depth + 8} and {chroma_depth + 8}"
        )
    out.u8(0xFC | chroma_format)
    out.u8(0xF8 | luma_depth)
    out.u8(0xF8 | chroma_depth)
    out.u8(0)  # numOfSequenceParameterSetExt
    return 0


@cython.final
cdef class _BitReader:
    """Bits of an SPS after its NAL header, emulation prevention bytes removed."""

    cdef:
        bytes _data
        Py_ssize_t _position  # in bits

    def __cinit__(self, bytes unit not None):
        self._data = unit.replace(b"\0\0\3", b"\0\0")
        self._position = 8

    cdef uint32_t bits(self, int count) except? 0xFFFFFFFF:
        cdef const uint8_t *data = self._data
        cdef uint32_t value = 0
        assert 0 <= count < 32
        if count > 8 * len(self._data) - self._position:
            raise ValueError(f"extradata: SPS of {len(self._data)} bytes is cut short")
        for _ in range(count):
            value = (value << 1) | ((data[self._position >> 3] >> (7 - (self._position & 7))) & 1)
            self._position += 1
        return value

    cdef uint32_t exp_golomb(self) except? 0xFFFFFFFF:
        cdef int zeros = 0
        while self.bits(1) == 0:
            zeros += 1
            if zeros > MAX_EXP_GOLOMB_BITS - 1:
                raise ValueError("extradata: SPS has a number out of range")
        return (<uint32_t>1 << zeros) - 1 + self.bits(zeros)


def avc_codecs(bytes avcc not None):
    """The RFC 6381 string; a record that this package would not write is refused."""
    _check_avc_config(avcc)
    return f"avc1.{avcc[1:4].hex()}"


cdef int _check_avc_config(bytes avcc) except -1:
    cdef const uint8_t *data = avcc
    cdef Py_ssize_t at = 5
    if len(avcc) < 7 or data[0] != CONFIGURATION_VERSION:
        raise ValueError(f"avcC: expected a record of version 1, got {avcc[:8].hex()!r}")
    if data[4] & 3 != NAL_LENGTH_SIZE - 1:
        raise ValueError(f"avcC: expected NAL lengths of 4 bytes, got {(data[4] & 3) + 1}")
    at = _check_parameter_sets(avcc, at, data[at] & 0x1F, NAL_SPS)
    if at == len(avcc):
        raise ValueError("avcC: record ends before its PPS")
    at = _check_parameter_sets(avcc, at, data[at], NAL_PPS)
    extension = 4 if data[1] in HIGH_PROFILES else 0
    if len(avcc) - at != extension:
        raise ValueError(f"avcC: expected {extension} bytes after the PPS, got {len(avcc) - at}")
    return 0


cdef Py_ssize_t _check_parameter_sets(
    bytes avcc, Py_ssize_t at, int count, NalType expected
) except -1:
    """Position after the `count` parameter sets whose count is at `at`."""
    cdef const uint8_t *data = avcc
    cdef Py_ssize_t size, left
    at += 1
    if count == 0:
        raise ValueError(f"avcC: no parameter set of NAL type {<int>expected}")
    for _ in range(count):
        left = len(avcc) - at - 2
        size = (data[at] << 8) | data[at + 1] if left >= 0 else 0
        if size == 0 or size > left:
            raise ValueError(f"avcC: parameter set at byte {at} has no room in {len(avcc)} bytes")
        if data[at + 2] & 0x1F != expected:
            raise ValueError(f"avcC: expected NAL type {<int>expected} at byte {at + 2}")
        at += 2 + size
    return at
