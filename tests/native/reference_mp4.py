"""The writer as one would explain it: boxes are nested bytes, nothing is fast.

Written from the standard's box definitions, without a look at native/mux.
"""

from collections.abc import Sequence
from dataclasses import dataclass

DROPPED_NAL_TYPES = {7, 8, 9, 12, 13}
IDENTITY = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True)
class ReferenceSample:
    data: bytes
    duration: int
    composition_offset: int
    is_sync: bool

    @property
    def flags(self) -> int:
        return 0x02000000 if self.is_sync else 0x01010000


def u8(*values: int) -> bytes:
    return b"".join(value.to_bytes(1, "big") for value in values)


def u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def box(fourcc: bytes, *content: bytes) -> bytes:
    payload = b"".join(content)
    return u32(8 + len(payload)) + fourcc + payload


def full_box(fourcc: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(fourcc, u32(version << 24 | flags), *content)


def to_avcc(annexb: bytes) -> bytes:
    """Start codes to lengths of four bytes. No NAL unit holds or ends with 00 00 01 or 00."""
    units = [unit.rstrip(b"\0") for unit in annexb.split(b"\0\0\1")[1:]]
    return b"".join(u32(len(u)) + u for u in units if u[0] & 0x1F not in DROPPED_NAL_TYPES)


def segment(samples: Sequence[ReferenceSample], sequence_number: int, decode_time: int) -> bytes:
    styp = box(b"styp", b"cmfs", u32(0), b"cmfs", b"msdh")
    without_offset = _moof(samples, sequence_number, decode_time, 0)
    data_offset = len(without_offset) + 8
    moof = _moof(samples, sequence_number, decode_time, data_offset)
    mdat = box(b"mdat", *(sample.data for sample in samples))
    return styp + moof + mdat


def _moof(
    samples: Sequence[ReferenceSample], sequence_number: int, decode_time: int, data_offset: int
) -> bytes:
    mfhd = full_box(b"mfhd", 0, 0, u32(sequence_number))
    tfdt = full_box(b"tfdt", 1, 0, decode_time.to_bytes(8, "big"))
    return box(b"moof", mfhd, box(b"traf", _tfhd(samples), tfdt, _trun(samples, data_offset)))


def _shared(values: Sequence[int]) -> bool:
    return len(set(values)) == 1


def _flags_are_default(samples: Sequence[ReferenceSample]) -> bool:
    """The first sample may differ: it has a field of its own."""
    return not any(s.is_sync for s in samples[1:]) or all(s.is_sync for s in samples)


def _tfhd(samples: Sequence[ReferenceSample]) -> bytes:
    flags, fields = 0x020000, u32(1)
    if _shared([sample.duration for sample in samples]):
        flags, fields = flags | 0x08, fields + u32(samples[0].duration)
    if _shared([len(sample.data) for sample in samples]):
        flags, fields = flags | 0x10, fields + u32(len(samples[0].data))
    if _flags_are_default(samples):
        flags, fields = flags | 0x20, fields + u32(samples[-1].flags)
    return full_box(b"tfhd", 0, flags, fields)


def _trun(samples: Sequence[ReferenceSample], data_offset: int) -> bytes:
    flags, head = 0x01, u32(len(samples), data_offset)
    columns = []
    if _flags_are_default(samples) and samples[0].flags != samples[-1].flags:
        flags, head = flags | 0x04, head + u32(samples[0].flags)
    if not _shared([sample.duration for sample in samples]):
        flags |= 0x100
        columns.append([sample.duration for sample in samples])
    if not _shared([len(sample.data) for sample in samples]):
        flags |= 0x200
        columns.append([len(sample.data) for sample in samples])
    if not _flags_are_default(samples):
        flags |= 0x400
        columns.append([sample.flags for sample in samples])
    if any(sample.composition_offset for sample in samples):
        flags |= 0x800
        columns.append([sample.composition_offset for sample in samples])
    rows = [u32(*row) for row in zip(*columns, strict=True)]
    return full_box(b"trun", 0, flags, head, *rows)


def video_init(
    timescale: int,
    width: int,
    height: int,
    avcc: bytes,
    media_time: int,
    colour: tuple[int, int, int, bool],
) -> bytes:
    primaries, transfer, matrix, full_range = colour
    nclx = b"nclx" + u16(primaries, transfer, matrix) + u8(0x80 if full_range else 0)
    avc1 = box(
        b"avc1",
        bytes(6) + u16(1) + bytes(16) + u16(width, height),
        u32(0x480000, 0x480000, 0) + u16(1) + bytes(32) + u16(24, 0xFFFF),
        box(b"avcC", avcc),
        box(b"colr", nclx),
        box(b"pasp", u32(1, 1)),
    )
    edts = b""
    if media_time > 0:
        edts = box(b"edts", full_box(b"elst", 0, 0, u32(1, 0, media_time), u16(1, 0)))
    vmhd = full_box(b"vmhd", 0, 1, bytes(8))
    size = u32(width << 16, height << 16)
    return _init(timescale, b"vide", 0, size, edts, vmhd + _dinf_and_stbl(avc1))


def audio_init(timescale: int, channels: int, asc: bytes, bit_rate: int) -> bytes:
    decoder_config = u8(0x40, 0x15) + (768 * channels).to_bytes(3, "big")
    decoder_config += u32(bit_rate, bit_rate) + descriptor(5, asc)
    es = u16(0) + u8(0) + descriptor(4, decoder_config) + descriptor(6, u8(2))
    mp4a = box(
        b"mp4a",
        bytes(6) + u16(1) + bytes(8) + u16(channels, 16) + bytes(4) + u32(timescale << 16),
        full_box(b"esds", 0, 0, descriptor(3, es)),
    )
    smhd = full_box(b"smhd", 0, 0, bytes(4))
    return _init(timescale, b"soun", 0x0100, bytes(8), b"", smhd + _dinf_and_stbl(mp4a))


def descriptor(tag: int, content: bytes) -> bytes:
    size, digits = len(content), [len(content) & 0x7F]
    while size := size >> 7:
        digits.insert(0, 0x80 | size & 0x7F)
    return u8(tag, *digits) + content


def _dinf_and_stbl(sample_entry: bytes) -> bytes:
    dinf = box(b"dinf", full_box(b"dref", 0, 0, u32(1), full_box(b"url ", 0, 1)))
    return dinf + box(
        b"stbl",
        full_box(b"stsd", 0, 0, u32(1), sample_entry),
        full_box(b"stts", 0, 0, u32(0)),
        full_box(b"stsc", 0, 0, u32(0)),
        full_box(b"stsz", 0, 0, u32(0, 0)),
        full_box(b"stco", 0, 0, u32(0)),
    )


def _init(
    timescale: int, handler: bytes, volume: int, size: bytes, edts: bytes, minf: bytes
) -> bytes:
    mvhd = u32(0, 0, timescale, 0, 0x10000) + u16(0x0100) + bytes(10) + u32(*IDENTITY)
    mvhd += bytes(24) + u32(2)
    tkhd = u32(0, 0, 1, 0, 0) + bytes(8) + u16(0, 0, volume, 0) + u32(*IDENTITY) + size
    mdhd = u32(0, 0, timescale, 0) + u16(0x55C4, 0)
    hdlr = u32(0) + handler + bytes(12) + b"\0"
    mdia = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, mdhd),
        full_box(b"hdlr", 0, 0, hdlr),
        box(b"minf", minf),
    )
    trak = box(b"trak", full_box(b"tkhd", 0, 3, tkhd), edts, mdia)
    mvex = box(b"mvex", full_box(b"trex", 0, 0, u32(1, 1, 0, 0, 0)))
    ftyp = box(b"ftyp", b"iso6", u32(0), b"iso6", b"cmfc")
    return ftyp + box(b"moov", full_box(b"mvhd", 0, 0, mvhd), trak, mvex)
