import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cmcd import (
    MAX_BIT_RATE,
    MAX_MS,
    MAX_REBUFFERINGS,
    MAX_REPORTS,
    InvalidReport,
    Report,
    parse_reports,
)

# What players of the field send: hls.js 1.7 in event mode, the example of the standard's version 2
# with kinds of tracks, version 1 with plain numbers.
HLS_JS = (
    b'bl=(12300),cid="5f0c",e=ps,mtp=(48200),sf=h,sid="f0e1d2c3-1111-4222-8333-944455556666",'
    b"sn=7,st=v,sta=p,ts=1764201600123,v=2"
)
CASES = [
    (b"", []),
    (b"\n\r\n  \n", []),
    (HLS_JS, [Report(None, (), 0, 0)]),
    (b"e=ps,msd=1240,sta=p,v=2", [Report(1240, (), 0, 0)]),
    (
        b"br=(5200;v 128;a),bsd=(1200;v 40),headrace-played=30000",
        [Report(None, (1200, 40), 30_000, 5_328_000)],
    ),
    (b"br=5200,bsd=700,msd=0", [Report(0, (700,), 0, 5_200_000)]),
    (b"msd=300\nheadrace-played=10\n", [Report(300, (), 0, 0), Report(None, (), 10, 0)]),
]
CUT = [
    (b"msd=-5", Report(0, (), 0, 0)),
    (b"msd=999999999999999", Report(MAX_MS, (), 0, 0)),
    (b"headrace-played=(600000 600000)", Report(None, (), MAX_MS, 0)),
    (b"bsd=(" + b"1 " * 40 + b"1)", Report(None, (1,) * MAX_REBUFFERINGS, 0, 0)),
    (b"br=(999999999 999999999)", Report(None, (), 0, MAX_BIT_RATE)),
    (b'msd="5",bsd=p,br=(1.5 ?1),headrace-played', Report(None, (), 0, 0)),
]
INVALID = [
    b"\xff",
    b"MSD=5",
    b"msd=5,",
    b"bsd=(1 2",
    b"bsd=((1))",
    b"(" * 10_000,
    b"msd=1234567890123456",
    b"a" * 16_000 + b"=",
]


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_reports_are_read(body: bytes, expected: list[Report]) -> None:
    assert parse_reports(body) == expected


@pytest.mark.parametrize(("body", "expected"), CUT)
def test_what_is_out_of_bounds_is_cut(body: bytes, expected: Report) -> None:
    assert parse_reports(body) == [expected]


@pytest.mark.parametrize("body", INVALID)
def test_what_is_not_a_report_is_refused_by_its_line(body: bytes) -> None:
    with pytest.raises(InvalidReport, match="line 2: "):
        parse_reports(b"msd=1\n" + body)


def test_number_of_reports_is_bounded() -> None:
    assert len(parse_reports(b"v=2\n" * MAX_REPORTS)) == MAX_REPORTS
    with pytest.raises(InvalidReport, match=f"at most {MAX_REPORTS}"):
        parse_reports(b"v=2\n" * (MAX_REPORTS + 1))


KEYS = st.sampled_from([b"msd", b"bsd", b"br", b"headrace-played"])
VALUES = st.sampled_from([b"1", b"-1", b"(1 2)", b"?1", b'"x"', b"(", b")", b";v", b"1.5", b"@1"])


@given(
    st.binary(max_size=200)
    | st.lists(st.tuples(KEYS, VALUES).map(b"=".join), max_size=6).map(b",".join)
)
def test_whatever_comes_is_within_bounds_or_refused(body: bytes) -> None:
    try:
        reports = parse_reports(body)
    except InvalidReport:
        return
    for report in reports:
        durations = [report.startup_ms or 0, report.played_ms, *report.rebufferings_ms]
        assert all(0 <= duration <= MAX_MS for duration in durations)
        assert 0 <= report.bit_rate <= MAX_BIT_RATE
