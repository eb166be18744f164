"""A multipart/form-data body (RFC 7578) as a stream of parts and their bytes.

Nothing is gathered here: memory stays that of one network read, whatever the body's size.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.problems import Malformed, WrongContentType

MAX_BOUNDARY = 70  # characters, RFC 2046 section 5.1.1
MAX_PARTS = 16
MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    filename: str | None
    content_type: str | None


def form_boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        got = kind.decode("latin-1") or "none"
        raise WrongContentType(f"Expected multipart/form-data, got {got[:100]}.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise Malformed(f"The Content-Type needs a boundary of 1 to {MAX_BOUNDARY} characters.")
    return boundary


async def read_form(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Part | bytes]:
    """Each part once its headers are complete, then its bytes as they come. Raises Malformed,
    also when the body ends before the closing boundary."""
    events = _Events()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": events.part_begin,
            "on_header_field": events.header_field,
            "on_header_value": events.header_value,
            "on_header_end": events.header_end,
            "on_headers_finished": events.headers_finished,
            "on_part_data": events.part_data,
            "on_end": events.end,
        },
        max_header_count=MAX_PART_HEADERS,
        max_header_size=MAX_PART_HEADER_BYTES,
    )
    async for chunk in chunks:
        try:
            parser.write(chunk)
        except MultipartParseError as exc:
            raise Malformed(f"The multipart body is broken: {exc}.") from exc
        for event in events.take():
            yield event
    if not events.ended:
        raise Malformed("The multipart body ends before its closing boundary.")


class _Events:
    """What the parser's callbacks have seen since the last `take`."""

    def __init__(self) -> None:
        self.ended = False
        self._seen: list[Part | bytes] = []
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""

    def take(self) -> list[Part | bytes]:
        seen, self._seen = self._seen, []
        return seen

    def part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Malformed(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name, filename = options.get(b"name"), options.get(b"filename")
        if kind != b"form-data" or name is None:
            raise Malformed("A part has no Content-Disposition: form-data with a name.")
        content_type = self._headers.get(b"content-type")
        self._seen.append(
            Part(
                name=_text(name, "name"),
                filename=None if filename is None else _text(filename, "filename"),
                content_type=None if content_type is None else content_type.decode("latin-1"),
            )
        )

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._seen.append(data[start:end])

    def end(self) -> None:
        self.ended = True


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"A part's {what} is not UTF-8.") from exc
