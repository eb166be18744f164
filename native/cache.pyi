from typing import Final, Generic, TypeVar, final

_V = TypeVar("_V")

ENTRY_OVERHEAD_BYTES: Final[int]

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
    def put(self, key: str, value: _V, size: int, expires_at_s: float) -> bool: ...
    def purge(self, prefix: str) -> int: ...

@final
class LruCache(Cache[_V]): ...

@final
class SieveCache(Cache[_V]): ...

@final
class S3FifoCache(Cache[_V]): ...
