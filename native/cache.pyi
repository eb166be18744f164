from typing import Final, Generic, TypeVar, final

from typing_extensions import disjoint_base

_V = TypeVar("_V")

ENTRY_OVERHEAD_BYTES: Final[int]

@disjoint_base
class Cache(Generic[_V]):
    budget_bytes: int
    largest_bytes: int
    bytes: int
    hits: int
    misses: int
    evictions: int
    rejections: int
    def __init__(self, budget_bytes: int, largest_bytes: int) -> None: ...
    def __len__(self) -> int: ...
    def get(self, key: str, now_s: float) -> _V | None: ...
    def peek(self, key: str) -> _V | None: ...
    def put(self, key: str, value: _V, size: int, expires_at_s: float) -> bool: ...
    def discard(self, key: str) -> None: ...
    def purge(self, prefix: str) -> int: ...

@final
class LruCache(Cache[_V]): ...

@final
class S3FifoCache(Cache[_V]): ...
