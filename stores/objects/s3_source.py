"""An object of S3 as a file, read over HTTP by a child that has neither credentials nor files.

All that needs a file (the resolver's configuration, certificates) is done in `open`; connecting
again later needs none. It imports little, as every child does it anew.
"""

from __future__ import annotations  # a name of typeshed

import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from stores.errors import StoreError
from stores.objects.base import Source
from stores.objects.s3_ranges import RangeReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A window is an eighth of what was read in one go before it, so that what is read in vain stays
# that small a part of it. Readers of media go to and fro between tracks, so some windows stay.
FIRST_WINDOW_BYTES = 32 << 10
LARGEST_WINDOW_BYTES = 4 << 20
RUN_SHARE = 8
KEPT_BYTES = 2 * LARGEST_WINDOW_BYTES


@dataclass(frozen=True, slots=True)
class S3Source(Source):
    """The URL opens this one object for reading until it expires."""

    url: str = field(repr=False)
    key: str
    etag: str | None
    ca_file: str

    def open(self) -> BinaryIO:
        return cast(BinaryIO, RemoteFile(RangeReader(self.url, self.key, self.etag, self.ca_file)))

    def port(self) -> int | None:
        url = urlsplit(self.url)
        return url.port or (443 if url.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    data: bytes
    run_bytes: int  # read in one go up to its end

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class RemoteFile(io.RawIOBase):
    """One read gives what one window holds, which may be less than was asked for."""

    def __init__(self, reader: RangeReader) -> None:
        self.failure: Exception | None = None
        self._reader = reader
        self._position = 0
        try:
            head = reader.read(0, FIRST_WINDOW_BYTES)
        except BaseException:
            self.close()
            raise
        self._windows = [_Window(0, head, len(head))]  # the latest last
        self._size = reader.size or 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size or not target:
            return 0
        window = self._window()
        start = self._position - window.start
        piece = window.data[start : start + len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self.read(LARGEST_WINDOW_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
        super().close()

    def _window(self) -> _Window:
        """The one that holds the position, now the latest."""
        found = next((w for w in self._windows if w.start <= self._position < w.end), None)
        if found is not None:
            self._windows.remove(found)
        else:
            found = self._fetched()
        self._windows.append(found)
        while sum(len(w.data) for w in self._windows) > KEPT_BYTES:
            del self._windows[0]
        return found

    def _fetched(self) -> _Window:
        ends_near = (w for w in self._windows if 0 <= self._position - w.end < FIRST_WINDOW_BYTES)
        run_bytes = max((w.run_bytes for w in ends_near), default=0)
        wanted = min(max(run_bytes // RUN_SHARE, FIRST_WINDOW_BYTES), LARGEST_WINDOW_BYTES)
        data = self._read(self._position, min(wanted, self._size - self._position))
        return _Window(self._position, data, run_bytes + len(data))

    def _read(self, start: int, length: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        try:
            return self._reader.read(start, length)
        except StoreError as exc:
            self.failure = exc
            raise
