"""Where a page ended. A cursor names no user: the query that it continues does."""

import base64
import re

from media.asset import Asset
from stores.catalog.base import InvalidCursor

MAX_CHARACTERS = 512
MAX_TIME_MS = 2**63 - 1
_FORM = re.compile(r"(0|[1-9][0-9]{0,18}):(.+)", re.DOTALL)

Position = tuple[int, str]  # created_at_ms, id

NEWEST: Position = (MAX_TIME_MS, "")


def encode(last: Asset) -> str:
    return _encode((last.created_at_ms, last.id))


def decode(cursor: str) -> Position:
    """The one cursor that stands for a position is accepted, no other spelling of it."""
    try:
        position = _decode(cursor) if len(cursor) <= MAX_CHARACTERS else None
    except ValueError:
        position = None
    if position is None or _encode(position) != cursor:
        raise InvalidCursor(f"{cursor[:80]!r} is not a cursor of this list")
    return position


def _encode(position: Position) -> str:
    created_at_ms, media_id = position
    text = f"{created_at_ms}:{media_id}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(cursor: str) -> Position | None:
    padding = "=" * (-len(cursor) % 4)
    text = base64.b64decode(cursor + padding, altchars=b"-_", validate=True).decode()
    match = _FORM.fullmatch(text)
    if match is None or int(match[1]) > MAX_TIME_MS:
        return None
    return int(match[1]), match[2]
