"""A slow and obvious ISO-BMFF reader (ISO/IEC 14496-12), written apart from native/."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import unpack_from

CONTAINERS = frozenset(b"moov trak mdia minf dinf stbl mvex edts moof traf".split())


@dataclass(frozen=True)
class Box:
    type: str
    payload: bytes  # after the 8-byte header
    children: tuple["Box", ...] = field(default=())

    def all(self, path: str) -> list["Box"]:
        """Every box at a path of types, such as `traf/trun`."""
        found: list[Box] = [self]
        for type_ in path.split("/"):
            found = [child for box in found for child in box.children if child.type == type_]
        return found

    def one(self, path: str) -> "Box":
        (box,) = self.all(path)
        return box


def parse(data: bytes) -> Box:
    """A nameless root whose children are the file's boxes."""
    return Box("", b"", tuple(_boxes(data)))


def _boxes(data: bytes) -> Iterator[Box]:
    offset = 0
    while offset < len(data):
        size, type_ = unpack_from(">I4s", data, offset)
        assert 8 <= size <= len(data) - offset, f"box {type_!r} at {offset}: size {size}"
        payload = data[offset + 8 : offset + size]
        children = tuple(_boxes(payload)) if type_ in CONTAINERS else ()
        yield Box(type_.decode("ascii"), payload, children)
        offset += size


def version_and_flags(box: Box) -> tuple[int, int]:
    (word,) = unpack_from(">I", box.payload)
    return word >> 24, word & 0xFFFFFF


@dataclass(frozen=True)
class Init:
    handler: str
    timescale: int
    sample_entry: str  # fourcc
    entry: Box  # its payload parsed for child boxes where known
    media_time: int  # of the only edit, else 0


def read_init(data: bytes) -> Init:
    trak = parse(data).one("moov/trak")
    mdhd = trak.one("mdia/mdhd")
    version, _ = version_and_flags(mdhd)
    (timescale,) = unpack_from(">I", mdhd.payload, 20 if version else 12)
    stsd = trak.one("mdia/minf/stbl/stsd")
    (entry,) = _boxes(stsd.payload[8:])
    fixed = {"avc1": 78, "mp4a": 28}[entry.type]
    return Init(
        handler=trak.one("mdia/hdlr").payload[8:12].decode(),
        timescale=timescale,
        sample_entry=entry.type,
        entry=Box(entry.type, entry.payload, tuple(_boxes(entry.payload[fixed:]))),
        media_time=_media_time(trak),
    )


def _media_time(trak: Box) -> int:
    lists = trak.all("edts/elst")
    if not lists:
        return 0
    version, _ = version_and_flags(lists[0])
    (count,) = unpack_from(">I", lists[0].payload, 4)
    assert count == 1, f"elst has {count} entries, players read only one"
    (media_time,) = unpack_from(">q" if version else ">i", lists[0].payload, 16 if version else 12)
    return int(media_time)


@dataclass(frozen=True)
class Sample:
    duration: int
    size: int
    flags: int
    composition_offset: int

    @property
    def is_sync(self) -> bool:
        return not self.flags & 0x10000


@dataclass(frozen=True)
class Fragment:
    sequence_number: int
    track_id: int
    decode_time: int
    samples: tuple[Sample, ...]
    first_sample: bytes

    @property
    def duration(self) -> int:
        return sum(sample.duration for sample in self.samples)


def read_segment(data: bytes) -> Fragment:
    root = parse(data)
    moof, mdat = root.one("moof"), root.one("mdat")
    (sequence_number,) = unpack_from(">I", moof.one("mfhd").payload, 4)
    tfhd, tfdt = moof.one("traf/tfhd"), moof.one("traf/tfdt")
    defaults, track_id = _tfhd(tfhd)
    version, _ = version_and_flags(tfdt)
    (decode_time,) = unpack_from(">Q" if version else ">I", tfdt.payload, 4)
    samples = tuple(_trun(moof.one("traf/trun"), defaults))
    assert sum(sample.size for sample in samples) == len(mdat.payload)
    first = mdat.payload[: samples[0].size]
    return Fragment(sequence_number, track_id, decode_time, samples, first)


def _tfhd(tfhd: Box) -> tuple[dict[str, int], int]:
    _, flags = version_and_flags(tfhd)
    (track_id,) = unpack_from(">I", tfhd.payload, 4)
    offset, defaults = 8, {"duration": 0, "size": 0, "flags": 0}
    assert not flags & 0x1, "tfhd has a base-data-offset"
    for bit, name in ((0x2, "description"), (0x8, "duration"), (0x10, "size"), (0x20, "flags")):
        if flags & bit:
            (defaults[name],) = unpack_from(">I", tfhd.payload, offset)
            offset += 4
    return defaults, track_id


def _trun(trun: Box, defaults: dict[str, int]) -> Iterator[Sample]:
    version, flags = version_and_flags(trun)
    (count,) = unpack_from(">I", trun.payload, 4)
    offset = 8 + 4 * bool(flags & 0x1)
    first_flags = None
    if flags & 0x4:
        (first_flags,) = unpack_from(">I", trun.payload, offset)
        offset += 4
    for n in range(count):
        values = {**defaults, "composition_offset": 0}
        if n == 0 and first_flags is not None:
            values["flags"] = first_flags
        for bit, name in ((0x100, "duration"), (0x200, "size"), (0x400, "flags")):
            if flags & bit:
                (values[name],) = unpack_from(">I", trun.payload, offset)
                offset += 4
        if flags & 0x800:
            (values["composition_offset"],) = unpack_from(
                ">i" if version else ">I", trun.payload, offset
            )
            offset += 4
        yield Sample(
            values["duration"], values["size"], values["flags"], values["composition_offset"]
        )


def nal_types(sample: bytes) -> list[int]:
    """NAL unit types of a length-prefixed H.264 sample."""
    types, offset = [], 0
    while offset < len(sample):
        (size,) = unpack_from(">I", sample, offset)
        types.append(sample[offset + 4] & 0x1F)
        offset += 4 + size
    assert offset == len(sample), "NAL lengths do not add up to the sample"
    return types


def codecs(init: Init) -> str:
    """RFC 6381, from the bytes of avcC or esds."""
    if init.sample_entry == "avc1":
        return "avc1." + init.entry.one("avcC").payload[1:4].hex()
    esds = init.entry.one("esds").payload
    config = esds[esds.index(b"\x05", 20) :]  # DecSpecificInfoTag
    length = next(n for n in range(1, 5) if not config[n] & 0x80)
    return f"mp4a.40.{config[length + 1] >> 3}"
