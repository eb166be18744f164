"""What a sandboxed child says to its worker, and how it crosses the socket between them.

    u32 size of the head | u32 size of the payload | head (JSON) | payload

The child decodes hostile files, so the worker takes nothing from it that could run: no pickle,
only these dataclasses, checked field by field, of bounded size.
"""

import struct
from dataclasses import dataclass, fields
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from transcoder.source import ProbeResult

PREFIX = struct.Struct("<II")
MAX_HEAD_BYTES = 32 << 10  # its texts end up in catalog records, of which DynamoDB takes 400 KB
MAX_PAYLOAD_BYTES = 256 << 20  # a 10 s segment at 200 Mbit/s


@dataclass(frozen=True, slots=True)
class Probed:
    result: ProbeResult


@dataclass(frozen=True, slots=True)
class Opened:
    """Answer of an encoder test: whether the encoder produced a picture, and if not, why."""

    works: bool
    reason: str


@dataclass(frozen=True, slots=True)
class InitSegment:
    rendition: str
    codecs: str
    timescale: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MediaSegment:
    """A muxed segment and what reading it back gave."""

    rendition: str
    number: int
    decode_time: int
    duration: int
    sample_count: int
    starts_with_idr: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The last word of a child that did all of its work."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The last word of a child that found a reason not to go on."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Starved:
    """The last word of a child whose source could not be read to the end, for now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broke:
    """The last word of a child with a bug: the traceback, for the log."""

    traceback: str


Message = Probed | Opened | InitSegment | MediaSegment | Finished | Rejected | Starved | Broke

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (Probed, Opened, InitSegment, MediaSegment, Finished, Rejected, Starved, Broke)
}
_ADAPTERS: dict[str, TypeAdapter[Message]] = {
    name: TypeAdapter(kind) for name, kind in _KINDS.items()
}


class MalformedMessage(Exception):
    pass


def encode(message: Message) -> tuple[bytes, bytes]:
    """Prefix and head, and the payload: two pieces, so that segments are not copied."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    payload: bytes = values.pop("data", b"")
    head = orjson.dumps({"kind": type(message).__name__, **values}, default=str)
    return PREFIX.pack(len(head), len(payload)) + head, payload


def sizes(prefix: bytes) -> tuple[int, int]:
    head, payload = PREFIX.unpack(prefix)
    if head > MAX_HEAD_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise MalformedMessage(f"a message of {head} + {payload} bytes is too large")
    return head, payload


def decode(head: bytes, payload: bytes) -> Message:
    try:
        values: dict[str, Any] = orjson.loads(head)
        if payload:
            values["data"] = payload
        return _ADAPTERS[values.pop("kind")].validate_python(values)
    except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise MalformedMessage(f"not a message of a child: {error}") from error
