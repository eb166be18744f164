import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import mux, reader
from tests.native import reference_mp4 as reference
from tests.native.reference_mp4 import ReferenceSample
from tests.native.test_h264 import AVCC

ASC = bytes.fromhex("119056e500")  # AAC-LC, 48 kHz, stereo
VIDEO_INIT = mux.video_init(
    timescale=90_000, width=640, height=360, avcc=AVCC, media_time=6000, colour=(1, 13, 1, True)
)
AUDIO_INIT = mux.audio_init(timescale=48_000, channels=2, asc=ASC, bit_rate=128_000)
VIDEO_SEGMENT = mux.segment(
    [
        (b"\0\0\1\x06sei\0\0\1\x65idr", 3000, 6000, True),
        (b"\0\0\1\x41p", 3000, 12000, False),
        (b"\0\0\1\x01b", 3000, 0, False),
        (b"\0\0\1\x65idr", 3001, 6000, True),
    ],
    sequence_number=7,
    base_media_decode_time=90_000,
    annexb=True,
)
AUDIO_SEGMENT = mux.segment(
    [(bytes(range(1, 60 + n)), 1024, 0, True) for n in range(5)],
    sequence_number=8,
    base_media_decode_time=2**40,
)


def test_read_init_of_video() -> None:
    assert reader.read_init(VIDEO_INIT) == reader.InitInfo(
        handler="vide",
        track_id=1,
        timescale=90_000,
        media_time=6000,
        codecs="avc1.64000d",
        nal_length_size=4,
        width=640,
        height=360,
        colour=(1, 13, 1, True),
    )


def test_read_init_of_audio() -> None:
    assert reader.read_init(bytearray(AUDIO_INIT)) == reader.InitInfo(
        handler="soun",
        track_id=1,
        timescale=48_000,
        media_time=0,
        codecs="mp4a.40.2",
        channels=2,
        sample_rate=48_000,
    )


def test_read_init_without_edit_list() -> None:
    init = mux.video_init(
        timescale=30, width=16, height=16, avcc=AVCC, media_time=0, colour=(1, 1, 1, False)
    )
    assert b"elst" not in init
    assert reader.read_init(init).media_time == 0


def test_read_segment_of_video() -> None:
    info = reader.read_segment(VIDEO_SEGMENT, nal_length_size=4)
    assert info == reader.SegmentInfo(
        track_id=1,
        sequence_number=7,
        decode_time=90_000,
        duration=12_001,
        presentation_start=96_000,
        sample_count=4,
        min_composition_offset=0,
        max_composition_offset=12_000,
        sync_samples=(0, 3),
        idr_samples=(0, 3),
        first_nal_types=(6, 5),
    )
    assert info.starts_with_idr


def test_read_segment_of_audio() -> None:
    info = reader.read_segment(AUDIO_SEGMENT, nal_length_size=0)
    assert info == reader.SegmentInfo(
        track_id=1,
        sequence_number=8,
        decode_time=2**40,
        duration=5 * 1024,
        presentation_start=2**40,
        sample_count=5,
        min_composition_offset=0,
        max_composition_offset=0,
        sync_samples=(0, 1, 2, 3, 4),
        idr_samples=(),
        first_nal_types=(),
    )
    assert info.starts_with_idr


def test_key_frame_that_is_no_idr_is_seen() -> None:
    """An encoder with open GOPs flags a recovery point as a key frame; its NAL type is 1."""
    segment = mux.segment(
        [(b"\0\0\1\x41i", 1, 0, True)], sequence_number=0, base_media_decode_time=0, annexb=True
    )
    info = reader.read_segment(segment, nal_length_size=4)
    assert (info.sync_samples, info.idr_samples) == ((0,), ())
    assert not info.starts_with_idr


rows = st.tuples(
    st.binary(min_size=1, max_size=30),
    st.integers(1, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.booleans(),
)


@given(st.lists(rows, min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.integers(0, 2**60))
def test_read_segment_gets_back_what_was_written(
    samples: list[tuple[bytes, int, int, bool]], number: int, decode_time: int
) -> None:
    samples[0] = (*samples[0][:3], True)
    segment = mux.segment(samples, sequence_number=number, base_media_decode_time=decode_time)
    info = reader.read_segment(segment, nal_length_size=0)
    starts = [decode_time + sum(s[1] for s in samples[:n]) for n in range(len(samples))]
    offsets = [sample[2] for sample in samples]
    assert info.sequence_number == number
    assert info.decode_time == decode_time
    assert info.duration == sum(sample[1] for sample in samples)
    assert info.presentation_start == min(map(sum, zip(starts, offsets, strict=True)))
    assert info.sample_count == len(samples)
    assert (info.min_composition_offset, info.max_composition_offset) == (
        min(offsets),
        max(offsets),
    )
    assert info.sync_samples == tuple(n for n, sample in enumerate(samples) if sample[3])


def _with(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replaces what stands there once, keeping the sizes of boxes."""
    assert data.count(old) == 1
    assert len(old) == len(new)
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (b"", "'file' at 0: expected box 'ftyp' at 0, 0 bytes left"),
        (VIDEO_INIT[:24], "'file' at 0: expected box 'moov' at 24, 0 bytes left"),
        (VIDEO_INIT[:-1], "'file' at 0: box 'moov' at 24 claims"),
        (VIDEO_INIT + b"x", "'file' at 0: 1 bytes at .* were not expected"),
        (VIDEO_SEGMENT, "expected box 'ftyp' at 0, found b'styp'"),
        (_with(VIDEO_INIT, b"iso6cmfc", b"isomcmfc"), "'ftyp' at 0: expected brands"),
        (_with(VIDEO_INIT, b"mvex", b"free"), "'moov' at 24: expected box 'mvex'"),
        (_with(VIDEO_INIT, b"edts", b"udta"), "'trak' at .* expected box 'mdia'"),
        (_with(VIDEO_INIT, b"vide", b"hint"), "'mdia' at .* handler b'hint'"),
        (_with(VIDEO_INIT, b"vide", b"soun"), "'minf' at .* expected box 'smhd'"),
        (_with(VIDEO_INIT, b"nclx", b"prof"), "'colr' at .* expected colour type nclx"),
        (
            _with(VIDEO_INIT, b"elst\0\0\0\0\0\0\0\1", b"elst\0\0\0\0\0\0\0\2"),
            "'elst' at .* expected entry_count 1, got 2",
        ),
        (
            _with(VIDEO_INIT, b"\0\0\x17\x70\0\1\0\0", b"\xff\xff\xff\xff\0\1\0\0"),
            "'elst' at .* an empty edit comes first",
        ),
        (
            _with(VIDEO_INIT, b"stts\0\0\0\0\0\0\0\0", b"stts\0\0\0\0\0\0\0\1"),
            "'stts' at .* only zeros in an empty table, 0, got 1",
        ),
        (
            _with(VIDEO_INIT, b"url \0\0\0\1", b"url \0\0\0\0"),
            "'url ' at .* expected flags 1, got 0",
        ),
        (
            _with(VIDEO_INIT, b"trex\0\0\0\0\0\0\0\1", b"trex\0\0\0\0\0\0\0\2"),
            "'tkhd' at .* expected track_ID as in the trex, 2, got 1",
        ),
        (_with(VIDEO_INIT, b"tkhd\0", b"tkhd\1"), "'tkhd' at .* expected version 0, got 1"),
        (_with(AUDIO_INIT, ASC, b"\x12\x10" + ASC[2:]), "'esds' at .* sample rate as in .* 44100"),
        (_with(AUDIO_INIT, ASC, b"\x11\x88" + ASC[2:]), "'esds' at .* channels as in .* 2, got 1"),
        (_with(AUDIO_INIT, ASC, b"\xf9\x90" + ASC[2:]), "'esds' at .* audio object type 31"),
        (_with(AUDIO_INIT, ASC, b"\x17\x90" + ASC[2:]), "'esds' at .* frequency index 15"),
        (_with(AUDIO_INIT, ASC, b"\x11\x80" + ASC[2:]), "'esds' at .* channel configuration 0"),
        (
            _with(AUDIO_INIT, b"\5\5" + ASC, b"\5\x85" + ASC),
            "'esds' at .* expected 657 more bytes",
        ),
    ],
)
def test_read_init_refuses(init: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader.read_init(init)


def _segment(
    *, tfhd: bytes, trun: bytes, mdat: bytes = b"\0\0\0\4\x65idr", tfdt: bytes | None = None
) -> bytes:
    """A segment around hand-made tfhd and trun; {offset} in the trun is the true data offset."""
    if tfdt is None:
        tfdt = reference.full_box(b"tfdt", 1, 0, bytes(8))
    mfhd = reference.full_box(b"mfhd", 0, 0, bytes(4))
    size = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + len(trun)
    trun = trun.replace(b"OFFS", struct.pack(">I", size + 8))
    moof = reference.box(b"moof", mfhd, reference.box(b"traf", tfhd, tfdt, trun))
    return reference.box(b"styp", b"cmfs\0\0\0\0cmfsmsdh") + moof + reference.box(b"mdat", mdat)


def _tfhd(flags: int, *fields: int) -> bytes:
    return reference.full_box(b"tfhd", 0, flags, reference.u32(1, *fields))


def _trun(flags: int, *words: int, version: int = 0, count: int = 1) -> bytes:
    head = reference.u32(count) + b"OFFS" + reference.u32(*words)
    return reference.full_box(b"trun", version, flags, head)


ALL_DEFAULTS = _tfhd(0x020038, 1000, 8, 0x02000000)


def test_read_segment_of_the_hand_made_segment() -> None:
    info = reader.read_segment(_segment(tfhd=ALL_DEFAULTS, trun=_trun(1)), nal_length_size=4)
    assert (info.duration, info.sample_count, info.sync_samples) == (1000, 1, (0,))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"tfhd": _tfhd(0x38, 1000, 8, 0)},
            "'tfhd' at .* flags besides the optional ones 131072, got 0",
        ),
        (
            {"tfhd": _tfhd(0x020039, 0, 0, 1000, 8, 0)},
            "'tfhd' at .* flags besides the optional ones 131072, got 131073",
        ),
        ({"tfhd": _tfhd(0x020030, 8, 0)}, "'trun' at .* sample 0: duration 0, size 8"),
        ({"tfhd": _tfhd(0x020028, 1000, 0)}, "'trun' at .* sample 0: duration 1000, size 0"),
        ({"tfhd": _tfhd(0x020038, 2**31, 8, 0)}, "sample 0: duration 2147483648"),
        ({"trun": _trun(0)}, "'trun' at .* flags besides the optional ones 1, got 0"),
        ({"trun": _trun(5 | 0x400, 0, 0)}, "given twice"),
        ({"trun": _trun(1, version=1)}, "'trun' at .* expected version 0, got 1"),
        ({"trun": _trun(0x801, 2**31)}, "sample 0: composition offset 2147483648"),
        ({"trun": _trun(0x101)}, "'trun' at .* expected 4 more bytes at .*, 0 left"),
        ({"trun": _trun(0x101, 1, 2)}, "'trun' at .* 4 bytes at .* were not expected"),
        # Without a byte of table these would be 2**32 rounds of a loop.
        ({"trun": _trun(1, count=2**32 - 1)}, "'trun' at .* 4294967295 samples in 8 bytes"),
        ({"trun": _trun(1, count=0)}, "'trun' at .* 0 samples"),
        ({"trun": _trun(1, count=2)}, "'mdat' at .* expected 8 more bytes at .*, 0 left"),
        ({"mdat": b"\0\0\0\4\x65idrx"}, "'mdat' at .* 1 bytes at .* were not expected"),
        ({"mdat": b"\0\0\0\5\x65idr"}, "'mdat, sample 0' at .* expected 5 more bytes"),
        ({"mdat": b"\0\0\0\3\x65idr"}, "'mdat, sample 0' at .* expected 4 more bytes"),
        ({"mdat": b"\0\0\0\0\0\0\0\0"}, "'mdat, sample 0' at .* expected 1 more bytes"),
        ({"mdat": b"\0\0\0\4\x67sps"}, "parameter set inside an avc1 track"),
        ({"mdat": b"\0\0\0\4\x06sei"}, r"no picture, only NAL types \[6\]"),
        ({"tfdt": reference.full_box(b"tfdt", 0, 0, bytes(4))}, "'tfdt' at .* version 1, got 0"),
        (
            {"tfdt": reference.full_box(b"tfdt", 1, 0, b"\x80" + bytes(7))},
            "'tfdt' at .* decode time 9223372036854775808",
        ),
    ],
)
def test_read_segment_refuses(parts: dict[str, bytes], message: str) -> None:
    arguments: dict[str, Any] = {"tfhd": ALL_DEFAULTS, "trun": _trun(1)} | parts
    with pytest.raises(ValueError, match=message):
        reader.read_segment(_segment(**arguments), nal_length_size=4)


def test_read_segment_refuses_a_wrong_data_offset() -> None:
    segment = bytearray(AUDIO_SEGMENT)
    segment[segment.index(b"trun") + 15] += 1
    with pytest.raises(ValueError, match=r"'trun' at \d+: expected data_offset (\d+), got"):
        reader.read_segment(segment, nal_length_size=0)


@pytest.mark.parametrize("size", [-1, 1, 2, 3, 5])
def test_read_segment_refuses_other_nal_length_sizes(size: int) -> None:
    with pytest.raises(ValueError, match=f"nal_length_size must be 0 or 4, got {size}"):
        reader.read_segment(VIDEO_SEGMENT, nal_length_size=size)


@given(st.lists(rows, min_size=1, max_size=6))
def test_reader_understands_the_reference_writer(
    samples: list[tuple[bytes, int, int, bool]],
) -> None:
    """Not only its own writer: the two sides are checked against each other's references."""
    written = reference.segment([ReferenceSample(*row) for row in samples], 3, 5)
    assert reader.read_segment(written, nal_length_size=0).duration == sum(s[1] for s in samples)
