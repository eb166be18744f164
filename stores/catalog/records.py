"""How records are written down: JSON that reads back as the very same value, or not at all."""

from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from media.asset import Asset
from media.commit import Commit
from media.event import Event
from media.plan import Plan
from stores.errors import Unavailable

T = TypeVar("T")

ASSET = TypeAdapter(Asset)
PLAN = TypeAdapter(Plan)
COMMIT = TypeAdapter(Commit)
EVENT = TypeAdapter(Event)


def dump(kind: TypeAdapter[T], value: T) -> str:
    """Raises ValueError for a value of the wrong type, or one that JSON has no form for."""
    try:
        text = orjson.dumps(value)
        same = _parse(kind, text) == value
    except (orjson.JSONEncodeError, ValidationError) as exc:
        raise ValueError(f"{value!r:.500} cannot be recorded: {exc}") from exc
    if not same:
        raise ValueError(f"{value!r:.500} cannot be recorded: JSON would change it")
    return text.decode()


def load(kind: TypeAdapter[T], text: str) -> T:
    """A record that another version wrote with other fields is refused: to write it back
    would lose them."""
    try:
        return _parse(kind, text)
    except ValidationError as exc:
        raise Unavailable(
            f"the catalog holds a record that this version cannot read, {text:.80}: {exc}; "
            "run the version that wrote it, or one that knows how to migrate it"
        ) from exc


def _parse(kind: TypeAdapter[T], text: str | bytes) -> T:
    return kind.validate_json(text, strict=True, extra="forbid")
