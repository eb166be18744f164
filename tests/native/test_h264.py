import io
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import h264
from tests.native.encodes import Encoded, encode_video

SPS = bytes.fromhex("6764000dacd941419f9e10000003001000000303c0f1429960")
PPS = bytes.fromhex("68ef8fcb")
EXTRADATA = b"\0\0\0\1" + SPS + b"\0\0\1" + PPS
AVCC = b"\1\x64\0\x0d\xff\xe1\0\x19" + SPS + b"\1\0\4" + PPS + b"\xfd\xf8\xf8\0"


def _libav_avc_config(encoded: Encoded) -> bytes:
    """What libavformat's own mp4 muxer makes of the same parameter sets."""
    elementary_stream = io.BytesIO(encoded.extradata + bytes(encoded.packets[0]))
    file = io.BytesIO()
    with (
        av.open(elementary_stream, "r", format="h264") as source,
        av.open(file, "w", format="mp4") as mp4,
    ):
        stream = mp4.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, 0, 0
                mp4.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert extradata is not None
    return extradata


@pytest.mark.parametrize(
    ("profile", "pix_fmt", "codecs"),
    [
        ("baseline", "yuv420p", "avc1.42c00d"),
        ("main", "yuv420p", "avc1.4d400d"),
        ("high", "yuv420p", "avc1.64000d"),
        ("high10", "yuv420p10le", "avc1.6e000d"),
        ("high422", "yuv422p10le", "avc1.7a000d"),
        ("high444", "yuv444p", "avc1.f4000d"),
    ],
)
def test_avc_config_of_each_profile(profile: str, pix_fmt: str, codecs: str) -> None:
    encoded = encode_video(1, rate=Fraction(30), gop=30, pix_fmt=pix_fmt, profile=profile)
    avcc = h264.avc_config(encoded.extradata)
    assert avcc == _libav_avc_config(encoded)
    assert h264.avc_codecs(avcc) == codecs


def test_avc_config_of_several_pps() -> None:
    other = b"\x68\x01\x02"
    avcc = h264.avc_config(EXTRADATA + b"\0\0\0\1" + other + b"\0\0")
    assert avcc == AVCC.replace(b"\1\0\4" + PPS, b"\2\0\4" + PPS + b"\0\3" + other)
    assert h264.avc_codecs(avcc) == "avc1.64000d"


def test_avc_config_leaves_out_other_nal_units() -> None:
    assert h264.avc_config(b"\0\0\1\x09\xf0" + EXTRADATA + b"\0\0\1\x06\5\1\x80") == AVCC


@pytest.mark.parametrize(
    ("extradata", "message"),
    [
        (b"", "begin with an Annex B start code"),
        (b"\0\0\0", "begin with an Annex B start code"),
        (AVCC, "begin with an Annex B start code"),
        (b"\0\0\1" + SPS, r"expected 1\.\.255 PPS, found 0"),
        (b"\0\0\1" + PPS, "expected one SPS, found 0"),
        (EXTRADATA + b"\0\0\1" + SPS, "expected one SPS, found 2"),
        (EXTRADATA + 255 * (b"\0\0\1" + PPS), r"expected 1\.\.255 PPS, found 256"),
        (EXTRADATA + b"\0\0\1", "empty NAL unit"),
        (b"\0\0\1\x67\x64\0\0\1" + PPS, "SPS of 2 bytes is cut short"),
        (b"\0\0\1\x67\x64\0\x0d\0\0\1" + PPS, "SPS of 4 bytes is cut short"),
        (b"\0\0\1\x67\x53" + SPS[2:] + b"\0\0\1" + PPS, "profile_idc 83"),
        (b"\0\0\1" + SPS[:4] + b"\0\0\3\0\0\3\0\x80\0\0\1" + PPS, "number out of range"),
        (b"\0\0\1" + SPS[:4] + b"\x94\0\0\1" + PPS, "chroma_format_idc 4|cut short"),
        (EXTRADATA + b"\0\0\1\x68" + 65535 * b"x", "a parameter set of 65536 bytes"),
    ],
)
def test_avc_config_refuses(extradata: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"extradata: .*{message}"):
        h264.avc_config(extradata)


@pytest.mark.parametrize(
    ("avcc", "message"),
    [
        (b"", "a record of version 1"),
        (EXTRADATA, "a record of version 1"),
        (AVCC[:4] + b"\xfe" + AVCC[5:], "NAL lengths of 4 bytes, got 3"),
        (AVCC[:5] + b"\xe0" + AVCC[6:], "no parameter set of NAL type 7"),
        (AVCC[:6] + b"\xff" + AVCC[7:], "parameter set at byte 6 has no room"),
        (AVCC[:8] + b"\x68" + AVCC[9:], "expected NAL type 7 at byte 8"),
        (AVCC[: 8 + len(SPS)], "ends before its PPS"),
        (AVCC[: 9 + len(SPS)], "has no room"),
        (AVCC[:-4], "expected 4 bytes after the PPS, got 0"),
        (AVCC + b"x", "expected 4 bytes after the PPS, got 5"),
        (AVCC[:1] + b"\x4d" + AVCC[2:], "expected 0 bytes after the PPS, got 4"),
    ],
)
def test_avc_codecs_refuses(avcc: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"avcC: .*{message}"):
        h264.avc_codecs(avcc)


@given(st.binary(max_size=60), st.booleans())
def test_garbage_is_refused_or_understood(garbage: bytes, framed: bool) -> None:
    extradata = b"\0\0\1\x67" + garbage + b"\0\0\1" + PPS if framed else garbage
    try:
        avcc = h264.avc_config(extradata)
    except ValueError:
        return
    assert h264.avc_codecs(avcc).startswith("avc1.")


@given(st.data())
def test_no_cut_or_changed_record_is_read_past_its_end(data: st.DataObject) -> None:
    record = bytearray(AVCC[: data.draw(st.integers(0, len(AVCC)))])
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(AVCC) - 1), st.integers(0, 255)), max_size=3)
    ):
        if position < len(record):
            record[position] = value
    try:
        h264.avc_codecs(bytes(record))
    except ValueError as exc:
        assert str(exc).startswith("avcC: ")
