"""Where bytes are kept: uploaded originals, segments, playlists.

Keys are relative, `/`-separated and made by media/keys.py. An object appears whole or not at
all: no reader ever sees a part of one.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    etag: str  # opaque; changes whenever the bytes do


class ObjectWriter:
    """A streaming upload. Nothing exists under the key before the `async with` ends well;
    leaving it by an exception, cancellation included, leaves nothing behind."""

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def flush(self) -> None:
        """Afterwards nothing but the name is missing, and the `async with` ends quickly."""
        raise NotImplementedError


class Source:
    """A picklable handle with which a sandboxed child reads one object by itself."""

    def open(self) -> BinaryIO:
        """A seekable binary file; raises NotFound."""
        raise NotImplementedError


class ObjectStore:
    def writer(self, key: str) -> AbstractAsyncContextManager[ObjectWriter]:
        raise NotImplementedError

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        """Store or replace."""
        raise NotImplementedError

    async def put_if(self, key: str, data: bytes, *, etag: str | None) -> ObjectInfo:
        """Replace only while the object still has `etag`, or create only while none exists
        (`None`). Raises Conflict. This is what keeps growing playlists from going back."""
        raise NotImplementedError

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """Whole object; raises NotFound."""
        raise NotImplementedError

    async def head(self, key: str) -> ObjectInfo:
        """Raises NotFound."""
        raise NotImplementedError

    def source(self, key: str) -> Source:
        raise NotImplementedError

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in no particular order."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """No error if there is none."""
        raise NotImplementedError

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every object below a prefix that ends in `/`; returns how many."""
        raise NotImplementedError

    async def sweep(self) -> None:
        """Remove what writers that died have left. For a process's start, and now and then."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises Unavailable, with what to do about it, when the store cannot be used."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
