import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.http import accepts_gzip, matches_none, parse_range

RANGES: list[tuple[str, int, tuple[int, int] | tuple[()] | None]] = [
    ("bytes=0-0", 10, (0, 1)),
    ("bytes=0-9", 10, (0, 10)),
    ("bytes=2-5", 10, (2, 6)),
    ("bytes=2-99", 10, (2, 10)),
    ("bytes=9-", 10, (9, 10)),
    ("bytes=0-", 10, (0, 10)),
    ("BYTES=1-2", 10, (1, 3)),
    ("bytes=-3", 10, (7, 10)),
    ("bytes=-99", 10, (0, 10)),
    ("bytes=0-99999999999999999999999999", 10, (0, 10)),
    ("bytes=-99999999999999999999999999", 10, (0, 10)),
    ("bytes=10-", 10, ()),
    ("bytes=10-11", 10, ()),
    ("bytes=99999999999999999999999999-", 10, ()),
    ("bytes=-0", 10, ()),
    ("bytes=0-", 0, ()),
    ("bytes=-1", 0, ()),
    ("bytes=5-2", 10, None),
    ("bytes=0-1,3-4", 10, None),
    ("bytes=0-1, 3-4", 10, None),
    ("bytes=", 10, None),
    ("bytes=-", 10, None),
    ("bytes", 10, None),
    ("bytes=a-b", 10, None),
    ("bytes=0x1-2", 10, None),
    ("bytes= 0-1", 10, None),
    ("bytes=0 -1", 10, None),
    ("bytes=+0-1", 10, None),
    ("bytes=--1", 10, None),
    ("bytes=1-2-3", 10, None),
    ("seconds=0-1", 10, None),
    ("", 10, None),
    ("bytes=0-1\u0661", 10, None),
    ("bytes=\u0661-2", 10, None),
]


@pytest.mark.parametrize(("value", "size", "expected"), RANGES)
def test_parse_range(value: str, size: int, expected: object) -> None:
    assert parse_range(value, size) == expected


def reference_range(value: str, size: int) -> tuple[int, int] | tuple[()] | None:
    match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", value, re.IGNORECASE | re.ASCII)
    if match is None or match[0].endswith("=-"):
        return None
    if not match[1]:
        start, stop = max(size - int(match[2]), 0), size
    else:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    return (start, stop) if start < stop else ()


@given(st.from_regex(r"bytes=[0-9 ,-]{0,12}", fullmatch=True) | st.text(), st.integers(0, 200))
def test_parse_range_agrees_with_the_reference(value: str, size: int) -> None:
    assert parse_range(value, size) == reference_range(value, size)


NONE_MATCHES = [
    ('"a"', True),
    ('W/"a"', True),
    ("*", True),
    (" * ", True),
    ('"b", "a"', True),
    ('"b","a"', True),
    ('"b" ,\tW/"a"', True),
    (' "a" ', True),
    ('"a", junk', True),
    ('"b"', False),
    ('"aa"', False),
    ("a", False),
    ('w/"a"', False),
    ('W "a"', False),
    ('"a', False),
    ('"b" "a"', False),
    ('junk, "a"', False),
    ('"b, "a"', False),
    ('"A"', False),
    ('*, "a"', False),
    ("", False),
    ('"\u00e4", "a"', False),
]


@pytest.mark.parametrize(("value", "expected"), NONE_MATCHES)
def test_matches_none(value: str, expected: bool) -> None:
    assert matches_none(value, '"a"') is expected


def reference_none_match(value: str, etag: str) -> bool:
    if not value.isascii():
        return False
    if re.fullmatch(r"[ \t]*\*[ \t]*", value):
        return True
    rest = value.lstrip(" \t")
    while match := re.match(r'(?:W/)?("[^"]*")[ \t]*(,[ \t]*|\Z)?', rest):
        if match[1] == etag:
            return True
        if match[2] is None:
            return False
        rest = rest[match.end() :]
    return False


@given(st.text('"aW/, *\t', max_size=20) | st.text())
def test_matches_none_agrees_with_the_reference(value: str) -> None:
    assert matches_none(value, '"a"') is reference_none_match(value, '"a"')


ENCODINGS = [
    ("gzip", True),
    ("GZip", True),
    ("x-gzip", True),
    ("br, gzip", True),
    ("gzip, deflate, br, zstd", True),
    ("gzip;q=1", True),
    ("gzip;q=0.001", True),
    ("gzip ; q=0.5", True),
    ("gzip; Q=1.0", True),
    ("*", True),
    ("br, *;q=0.1", True),
    ("deflate,,gzip", True),
    ("gzip;q=0", False),
    ("gzip;q=0.000", False),
    ("gzip; q=0, *", False),
    ("*, gzip;q=0", False),
    ("*;q=0", False),
    ("gzip;q=", False),
    ("gzip;level=9", False),
    ("identity", False),
    ("br", False),
    ("gzi", False),
    ("gzipp", False),
    ("y-gzip", False),
    ("", False),
    (",", False),
    ("gz\u00efp, gzip", False),
]


@pytest.mark.parametrize(("value", "expected"), ENCODINGS)
def test_accepts_gzip(value: str, expected: bool) -> None:
    assert accepts_gzip(value) is expected


def reference_accepts_gzip(value: str) -> bool:
    if not value.isascii():
        return False
    accepted = False
    for item in value.split(","):
        match = re.match(r"[ \t]*([^\x00-\x20;]*)[ \t]*(.*)", item, re.DOTALL)
        assert match is not None
        coding, parameters = match[1].lower(), match[2]
        weight = re.match(r";[ \t]*[qQ]=", parameters)
        good = not parameters or bool(weight and re.search("[1-9]", parameters[weight.end() :]))
        if coding in ("gzip", "x-gzip"):
            return good
        if coding == "*":
            accepted = good
    return accepted


@given(
    st.lists(
        st.builds(
            "".join,
            st.tuples(
                st.sampled_from(["gzip", "x-gzip", "GZIP", "*", "br", "", " ", "\t*"]),
                st.sampled_from(["", ";q=0", ";q=1", "; q=0.0", ";Q=0.9", ";x", " ", ";", " b"]),
            ),
        )
        | st.text("gzip*;q=01., \t", max_size=12)
    ).map(",".join)
    | st.text()
)
def test_accepts_gzip_agrees_with_the_reference(value: str) -> None:
    assert accepts_gzip(value) is reference_accepts_gzip(value)
