import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.catalog import cursor as cursors
from stores.catalog.base import InvalidCursor
from tests.stores.catalog.titles import asset


@given(created_at_ms=st.integers(0, cursors.MAX_TIME_MS), media_id=st.text(min_size=1, max_size=80))
def test_cursor_is_the_position_of_a_title(created_at_ms: int, media_id: str) -> None:
    cursor = cursors.encode(asset(media_id, created_at_ms=created_at_ms))
    assert cursors.decode(cursor) == (created_at_ms, media_id)
    assert set(cursor) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )  # goes into a URL as it is


def spelt(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


MALFORMED = [
    *("", " ", "=", "MTppMw==", "MTppMw\n", "MTpp Mw", "MTppM", "MTppMx", "é", "\ud800", "\0"),
    *("+/+/", "null", "{}", "0", "x" * 513, "MTpp" * 1000),
    *map(spelt, [b"", b":", b"1:", b":m", b"1", b"m:1", b"-1:m", b"01:m", b"1.5:m", b"1e3:m"]),
    *map(spelt, [b"+1:m", b" 1:m", b"1_0:m", b"1 :m", b"\xff\xfe", b"1:\xff"]),
    spelt("\u0661:m".encode()),
    spelt(b"9223372036854775808:m"),
    spelt(b"9" * 5000 + b":m"),
]


@pytest.mark.parametrize("cursor", MALFORMED)
def test_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="is not a cursor of this list"):
        cursors.decode(cursor)


@given(cursor=st.text())
def test_any_text_is_a_cursor_in_one_spelling_or_refused(cursor: str) -> None:
    try:
        created_at_ms, media_id = cursors.decode(cursor)
    except InvalidCursor:
        return
    assert cursors.encode(asset(media_id, created_at_ms=created_at_ms)) == cursor
