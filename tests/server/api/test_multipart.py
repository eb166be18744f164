import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.multipart import Part, form_boundary, read_form
from server.problems import Malformed
from tests.server.api.forms import BOUNDARY, CONTENT_TYPE, form, part

Parts = list[tuple[Part, bytes]]


def read(chunks: Sequence[bytes]) -> Parts:
    """Every part with all of its bytes."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def run() -> Parts:
        found: Parts = []
        async for event in read_form(body(), BOUNDARY.encode()):
            if isinstance(event, Part):
                found.append((event, b""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + event)
        return found

    return asyncio.run(run())


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


near_boundaries = st.sampled_from(
    [b"\r\n--" + BOUNDARY.encode()[:n] + tail for n in (0, 5, 15) for tail in (b"", b"-", b"\r")]
)
contents = st.lists(st.binary(max_size=30) | near_boundaries, max_size=6).map(b"".join)


@given(st.lists(contents, max_size=5), st.lists(st.integers(0, 10_000), max_size=20))
def test_parts_are_the_same_however_the_body_is_cut(values: list[bytes], places: list[int]) -> None:
    body = form(part(f"n{n}", value) for n, value in enumerate(values))
    expected = [(Part(f"n{n}", None, None), value) for n, value in enumerate(values)]
    assert read(cut(body, places)) == expected
    assert read([body[n : n + 1] for n in range(len(body))]) == expected


@given(contents, st.integers(0, 10_000))
def test_body_that_stops_early_is_malformed(value: bytes, place: int) -> None:
    body = form([part("n", value)])
    end = body.rindex(b"--")  # the two hyphens that close the form
    with pytest.raises(Malformed):
        read([body[: place % (end + 2)]])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_malformed(data: bytes) -> None:
    try:
        read([data])
    except Malformed as problem:
        assert problem.detail


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('name="file"; filename="a b.mp4"', ("file", "a b.mp4")),
        ("name=file; filename=a.mp4", ("file", "a.mp4")),
        ('name="file"; filename="a\\"b;c.mp4"', ("file", 'a"b;c.mp4')),
        ('name="file"; filename="käse.mp4"', ("file", "käse.mp4")),
        ('name="file"; filename=""', ("file", "")),
        ('name="file"', ("file", None)),
        ("name=\"file\"; filename*=UTF-8''evil.mp4", ("file", None)),
    ],
)
def test_disposition_is_read(disposition: str, expected: tuple[str, str | None]) -> None:
    head = f"--{BOUNDARY}\r\ncontent-DISPOSITION: form-data; {disposition}\r\n\r\nx\r\n"
    ((found, value),) = read([head.encode() + form([])])
    assert ((found.name, found.filename), value) == (expected, b"x")


def test_boundary_may_be_quoted() -> None:
    assert form_boundary(CONTENT_TYPE) == BOUNDARY.encode()
    assert form_boundary('Multipart/Form-Data; boundary="a b"') == b"a b"
