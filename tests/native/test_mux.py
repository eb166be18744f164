import array
import mmap
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import mux
from tests.native import reference_mp4 as reference
from tests.native.reference_mp4 import ReferenceSample

AVCC = bytes.fromhex(
    "0164000dffe100196764000dacd941419f9e10000003001000000303c0f142996001000468ef8fcbfdf8f800"
)
ASC = bytes.fromhex("119056e500")
IDR = b"\0\0\0\1\x65abc"

MAX_TICKS = 2**31 - 1
ticks = st.integers(1, MAX_TICKS)
offsets = st.integers(0, MAX_TICKS)


@st.composite
def _segments(draw: st.DrawFn) -> list[ReferenceSample]:
    """Of the kinds that choose a layout: equal or different durations, sizes, flags, offsets."""
    count = draw(st.integers(1, 12))
    durations = draw(st.one_of(ticks.map(st.just), st.just(ticks)))
    sizes = draw(st.one_of(st.integers(1, 40).map(st.just), st.just(st.integers(1, 40))))
    composition_offsets = draw(st.sampled_from([st.just(0), offsets]))
    sync = draw(st.sampled_from([st.just(True), st.just(False), st.booleans()]))
    return [
        ReferenceSample(
            draw(st.binary(min_size=size, max_size=size)),
            draw(durations),
            draw(composition_offsets),
            index == 0 or draw(sync),
        )
        for index, size in enumerate(draw(st.lists(sizes, min_size=count, max_size=count)))
    ]


def _rows(samples: list[ReferenceSample]) -> list[tuple[bytes, int, int, bool]]:
    return [(s.data, s.duration, s.composition_offset, s.is_sync) for s in samples]


@given(_segments(), st.integers(0, 2**32 - 1), st.integers(0, 2**62))
def test_segment_is_what_the_reference_writes(
    samples: list[ReferenceSample], number: int, decode_time: int
) -> None:
    written = mux.segment(
        _rows(samples), sequence_number=number, base_media_decode_time=decode_time
    )
    assert written == reference.segment(samples, number, decode_time)


# A NAL unit: a type, then bytes in which no zero stands, so that nothing in it is framing.
_nal_units = st.builds(
    lambda header, body: bytes([header]) + body,
    st.integers(1, 31).map(lambda nal_type: 0x60 | nal_type),
    st.binary(max_size=20).map(lambda body: body.replace(b"\0", b"\1")),
)
_framings = st.tuples(
    st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"]),
    st.sampled_from([b"", b"\0", b"\0\0"]),
)


@st.composite
def _access_units(draw: st.DrawFn) -> bytes:
    units = draw(st.lists(_nal_units, max_size=4))
    units.insert(draw(st.integers(0, len(units))), b"\x41slice")
    framed = (start + unit + tail for unit in units for start, tail in [draw(_framings)])
    return b"".join(framed)


@given(st.lists(_access_units(), min_size=1, max_size=5))
def test_segment_turns_start_codes_into_lengths(units: list[bytes]) -> None:
    samples = [ReferenceSample(reference.to_avcc(unit), 1, 0, True) for unit in units]
    written = mux.segment(
        [(unit, 1, 0, True) for unit in units],
        sequence_number=1,
        base_media_decode_time=0,
        annexb=True,
    )
    assert written == reference.segment(samples, 1, 0)


def test_segment_drops_parameter_sets_delimiter_and_filler_and_keeps_sei() -> None:
    sample = b"".join(
        b"\0\0\0\1" + unit
        for unit in (
            b"\x09\xf0",
            b"\x67sps",
            b"\x68pps",
            b"\x6dext",
            b"\x06sei",
            b"\x65idr",
            b"\x0cff",
        )
    )
    written = mux.segment(
        [(sample, 1, 0, True)], sequence_number=0, base_media_decode_time=0, annexb=True
    )
    assert written.endswith(b"mdat\0\0\0\4\x06sei\0\0\0\4\x65idr")


def test_segment_keeps_emulation_prevention_and_zeros_inside_a_unit() -> None:
    unit = b"\x65\0\0\3\1\0\0\3\0\1\0\2"
    written = mux.segment(
        [(b"\0\0\1" + unit, 1, 0, True)], sequence_number=0, base_media_decode_time=0, annexb=True
    )
    assert written.endswith(b"mdat" + reference.u32(len(unit)) + unit)


@pytest.mark.parametrize(
    "data",
    [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), array.array("B", b"abcd")],
    ids=lambda data: type(data).__name__,
)
def test_segment_takes_any_buffer(data: Any) -> None:
    expected = reference.segment([ReferenceSample(b"abcd", 7, 0, True)], 0, 0)
    assert (
        mux.segment([(data, 7, 0, True)], sequence_number=0, base_media_decode_time=0) == expected
    )


def test_segment_gathers_a_strided_buffer() -> None:
    written = mux.segment(
        ((memoryview(b"a-b-c-")[::2], 1, 0, True),), sequence_number=0, base_media_decode_time=0
    )
    assert written.endswith(b"mdatabc")


def test_segment_releases_the_buffers() -> None:
    data = bytearray(IDR)
    mux.segment([(data, 1, 0, True)], sequence_number=0, base_media_decode_time=0, annexb=True)
    with pytest.raises(ValueError, match="duration"):
        mux.segment(
            [(data, 1, 0, True), (data, 0, 0, True)], sequence_number=0, base_media_decode_time=0
        )
    data += b"resizing an exported bytearray raises BufferError"


GOOD = (IDR, 1, 0, True)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], r"samples: expected 1\.\.\d+, got 0"),
        ([GOOD, (IDR, 0, 0, True)], r"samples\[1\]: duration must be 1\.\.2147483647, got 0"),
        ([(IDR, 2**31, 0, True)], r"samples\[0\]: duration must be"),
        ([(IDR, 2**70, 0, True)], r"samples\[0\]: duration must be"),
        ([(IDR, 1, -1, True)], r"samples\[0\]: composition_offset must be .* got -1"),
        ([(IDR, 1, 2**31, True)], r"samples\[0\]: composition_offset must be"),
        ([(b"", 1, 0, True)], r"samples\[0\]: expected it to begin with an Annex B start code"),
        ([(b"\0\0\1", 1, 0, True)], r"samples\[0\]: found an empty NAL unit"),
        ([(b"\0\0\1\0\0\1\x65", 1, 0, True)], r"samples\[0\]: found an empty NAL unit"),
        ([(b"\x65\0\0\1\x65", 1, 0, True)], r"samples\[0\]: expected it to begin"),
        ([(b"\0\0", 1, 0, True)], r"samples\[0\]: expected it to begin"),
        ([(b"\0\0\1\x67\0\0\1\x68", 1, 0, True)], r"samples\[0\]: no NAL unit is left"),
        ([(IDR, 1, 0, False)], r"samples\[0\]: a segment starts with a sync sample"),
        ([(IDR, 1, 0)], r"samples\[0\]: need more than 3 values"),
    ],
)
def test_segment_refuses_bad_samples(samples: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mux.segment(samples, sequence_number=0, base_media_decode_time=0, annexb=True)


def test_segment_refuses_an_empty_sample() -> None:
    with pytest.raises(ValueError, match=r"samples\[1\]: expected 1\.\.\d+ bytes, got 0"):
        mux.segment(
            [(b"a", 1, 0, True), (b"", 1, 0, True)], sequence_number=0, base_media_decode_time=0
        )


@pytest.mark.parametrize(
    ("size", "count", "message"),
    [
        (2**31, 1, r"samples\[0\]: expected 1\.\.2147483647 bytes, got 2147483648"),
        (2**30, 4, "samples: mdat of 4294967304 bytes, its size field has 32 bits"),
    ],
)
def test_segment_refuses_what_its_size_fields_cannot_hold(
    size: int, count: int, message: str
) -> None:
    """Refused before a byte is read or allocated: the mapping never gets memory."""
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ) as data:
        with pytest.raises(ValueError, match=message):
            mux.segment([(data, 1, 0, True)] * count, sequence_number=0, base_media_decode_time=0)
        assert psutil.Process().memory_info().rss < size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence_number", -1),
        ("sequence_number", 2**32),
        ("base_media_decode_time", -1),
        ("base_media_decode_time", 2**63 - 1),  # the end of the segment would be past 2**63 - 1
        ("base_media_decode_time", 2**64),
    ],
)
def test_segment_refuses_numbers_out_of_range(name: str, value: int) -> None:
    arguments: dict[str, Any] = {"sequence_number": 0, "base_media_decode_time": 0} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        mux.segment([(b"a", 1, 0, True)], **arguments)


@pytest.mark.parametrize("sample", [("text", 1, 0, True), (b"a", 1.0, 0, True), (b"a", None, 0, 1)])
def test_segment_refuses_wrong_types(sample: Any) -> None:
    with pytest.raises(TypeError):
        mux.segment([sample], sequence_number=0, base_media_decode_time=0)


@given(
    timescale=ticks,
    width=st.integers(1, 0xFFFF),
    height=st.integers(1, 0xFFFF),
    media_time=st.one_of(st.just(0), offsets),
    colour=st.tuples(*[st.integers(0, 255)] * 3, st.booleans()),
)
def test_video_init_is_what_the_reference_writes(**fields: Any) -> None:
    assert mux.video_init(avcc=AVCC, **fields) == reference.video_init(avcc=AVCC, **fields)


# Sizes at which a descriptor's length, or its parent's, takes one more byte.
@given(
    timescale=st.integers(1, 0xFFFF),
    channels=st.integers(1, 8),
    asc=st.one_of(
        st.binary(min_size=2, max_size=40),
        st.sampled_from([bytes(size) for size in (*range(95, 130), 1000, 1024)]),
    ),
    bit_rate=st.integers(1, 2**32 - 1),
)
def test_audio_init_is_what_the_reference_writes(**fields: Any) -> None:
    assert mux.audio_init(**fields) == reference.audio_init(**fields)


VIDEO = {
    "timescale": 30,
    "width": 320,
    "height": 180,
    "avcc": AVCC,
    "media_time": 2,
    "colour": (1, 1, 1, False),
}
AUDIO = {"timescale": 48_000, "channels": 2, "asc": ASC, "bit_rate": 128_000}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timescale", 0, "timescale must be"),
        ("timescale", 2**31, "timescale must be"),
        ("width", 0, "width must be"),
        ("height", 65536, "height must be"),
        ("media_time", -1, "media_time must be"),
        ("media_time", 2**31, "media_time must be"),
        ("avcc", b"", "avcC: expected a record"),
        ("avcc", AVCC[:-1], "avcC: expected 4 bytes after the PPS"),
        ("colour", (256, 1, 1, False), "colour primaries must be"),
        ("colour", (1, -1, 1, False), "colour transfer must be"),
        ("colour", (1, 1, 2**99, False), "colour matrix must be"),
        ("colour", (1, 1, 1), "need more than 3 values"),
    ],
)
def test_video_init_refuses(field: str, value: Any, message: str) -> None:
    arguments: dict[str, Any] = VIDEO | {field: value}
    with pytest.raises(ValueError, match=message):
        mux.video_init(**arguments)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timescale", 0, "timescale must be"),
        ("timescale", 96_000, "timescale must be 1..65535, got 96000"),
        ("channels", 0, "channels must be"),
        ("channels", 9, "channels must be"),
        ("asc", b"\x11", "size of asc must be"),
        ("asc", bytes(1025), "size of asc must be"),
        ("bit_rate", 0, "bit_rate must be"),
        ("bit_rate", 2**32, "bit_rate must be"),
    ],
)
def test_audio_init_refuses(field: str, value: Any, message: str) -> None:
    arguments: dict[str, Any] = AUDIO | {field: value}
    with pytest.raises(ValueError, match=message):
        mux.audio_init(**arguments)
