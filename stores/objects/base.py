"""Where bytes are kept: uploaded originals, segments, playlists.

Keys are relative, `/`-separated and made by media/keys.py. An object appears whole or not at
all: no reader ever sees a part of one.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from stores.trait import Trait


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
        """Called once, after the last write: then nothing but the name is missing, and the
        `async with` ends quickly."""
        raise NotImplementedError


class Source:
    """A picklable handle with which a sandboxed child reads one object by itself, and nothing
    else. It must need no other file once it is open."""

    def open(self) -> BinaryIO:
        """A seekable binary file. Raises NotFound, Conflict (replaced, see `ObjectStore.source`),
        Unavailable; so do the reads of the file. A decoder may swallow what a read raises and
        take it for the end, so a file that can fail keeps its first error as `failure`
        (`Exception | None`), to be looked at when the reader is done. A read may give less than
        it was asked for, and nothing at the end only."""
        raise NotImplementedError

    def port(self) -> int | None:
        """The only TCP port that the file connects to; None: it needs no network."""
        return None


class Method(StrEnum):
    PUT = "PUT"
    POST = "POST"


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What a client that uploads by itself may do, and until when."""

    method: Method
    max_bytes: int
    size: int | None  # the exact size, where the client said it
    content_type: str | None
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    url: str
    headers: dict[str, str]  # to be sent with the PUT as they are
    fields: dict[str, str]  # to be sent with the POST, before the file


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

    async def source(self, key: str, *, etag: str | None = None) -> Source:
        """With an etag its `open` raises Conflict should the object have been replaced. May be
        opened for as long as a task may last, from now on."""
        raise NotImplementedError

    async def upload_target(self, key: str, rules: UploadRules) -> UploadTarget | None:
        """Where a client sends an object's bytes without passing through this service; None for
        a store that has no door of its own."""
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

    async def sweep(self, *, dry_run: bool = False) -> Sequence[str]:
        """Remove what writers that died have left, which no `list` shows; says what that was, a
        name for a person each. For a process's start, and now and then."""
        raise NotImplementedError

    async def create(self) -> Sequence[str]:
        """Make what a new installation lacks (buckets, directories) and say what was made; for
        `doctor --create`. Changes nothing of what exists."""
        raise NotImplementedError

    async def traits(self, pages: Sequence[str]) -> Sequence[Trait]:
        """What an operator has set up, for a pre-flight; `pages` are the web origins whose pages
        may upload by `upload_target`. Raises Unavailable."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises Unavailable, with what to do about it, when the store cannot be used."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
