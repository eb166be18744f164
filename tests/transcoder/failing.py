"""A source that cannot be read to its end. In a module of its own: children import it by name."""

import io
from dataclasses import dataclass
from typing import BinaryIO

from stores.errors import Conflict, NotFound, StoreError, Unavailable
from stores.objects.base import Source

ERRORS: dict[str, StoreError] = {
    "away": Unavailable("the network is down"),
    "gone": NotFound("object source/m1"),
    "replaced": Conflict("object source/m1 was replaced"),
}
READ_BYTES = 4096  # a network gives as much as it has


@dataclass(frozen=True, slots=True)
class FailingSource(Source):
    path: str
    after_bytes: int
    error: str

    def open(self) -> BinaryIO:
        if self.after_bytes < 0:
            raise ERRORS[self.error]
        return FailingFile(self.path, self.after_bytes, ERRORS[self.error])


class FailingFile(io.BufferedReader):
    """Gives so many bytes in all, wherever they are, and from then on nothing but its error."""

    def __init__(self, path: str, after_bytes: int, error: StoreError) -> None:
        super().__init__(io.FileIO(path))
        self._left = after_bytes
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if self._left <= 0:
            raise self._error
        wanted = READ_BYTES if size is None or size < 0 else min(size, READ_BYTES)
        data = super().read(min(wanted, self._left))
        self._left -= len(data)
        return data
