"""Just enough HTTP/1.1 to tell where a message ends; bytes pass through as they came."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    raw: bytes
    first_line: str
    headers: dict[str, str]  # names in lower case

    @property
    def status(self) -> int:
        return int(self.first_line.split(" ")[1])

    @property
    def method(self) -> str:
        return self.first_line.split(" ")[0]

    @property
    def is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def length(self) -> int | None:
        length = self.headers.get("content-length")
        return None if length is None else int(length)

    @property
    def waits_for_continue(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """None where the connection ends before another message begins."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first_line, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    return Head(raw, first_line, {name.lower(): value.strip() for name, _, value in pairs})


def request_body(reader: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    if head.is_chunked:
        return _chunked(reader)
    return _sized(reader, head.length or 0)


def response_body(
    reader: asyncio.StreamReader, request: Head, response: Head
) -> AsyncIterator[bytes]:
    if request.method == "HEAD" or response.status in (204, 304):
        return _sized(reader, 0)
    if response.is_chunked:
        return _chunked(reader)
    if response.length is not None:
        return _sized(reader, response.length)
    return _until_end(reader)


async def _sized(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    left = length
    while left:
        piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        yield line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        async for piece in _sized(reader, size + 2):
            yield piece
    while line != b"\r\n":  # trailers
        line = await reader.readuntil(b"\r\n")
        yield line


async def _until_end(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(PIECE_BYTES):
        yield piece
