from collections.abc import Iterable, Sequence
from typing import Final, final

from native.cache import Cache, LruCache
from native.token import TokenVerifier

ALLOWED_METHODS: Final[str]
CORS: Final[list[tuple[str, str]]]
MISSING_BUDGET_BYTES: Final[int]
MISSING_FOR_S: Final[float]
OBJECT_OVERHEAD_BYTES: Final[int]

@final
class Request:
    method: str
    path: str
    range: str | None
    if_range: str | None
    if_none_match: str | None
    accept_encoding: str | None
    origin_verify: str | None
    is_head: bool
    def __init__(
        self,
        method: str,
        path: str,
        *,
        range: str | None = None,
        if_range: str | None = None,
        if_none_match: str | None = None,
        accept_encoding: str | None = None,
        origin_verify: str | None = None,
    ) -> None: ...

@final
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes = b"") -> None: ...
    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]: ...
    def without_body(self) -> Response: ...

@final
class Miss:
    request: Request
    key: str
    kept: CachedObject | None
    def __init__(self, request: Request, key: str, kept: CachedObject | None = None) -> None: ...

@final
class CachedObject:
    size: int
    fresh_until_s: float
    good_until_s: float
    def __init__(
        self,
        body: bytes,
        etag: str,
        content_type: str,
        cache_control: str,
        gzipped: bytes | None = None,
    ) -> None: ...
    def respond(self, request: Request) -> Response: ...

@final
class Core:
    objects: Cache[CachedObject]
    missing: LruCache[bool]
    refusals: int
    not_fresh: int
    def __init__(
        self,
        verifier: TokenVerifier,
        budget_bytes: int,
        largest_bytes: int,
        *,
        policy: type[Cache[CachedObject]] = LruCache,
        secrets: Sequence[str] = (),
        beside: Iterable[str] = (),
    ) -> None: ...
    def respond(self, request: Request, now_s: float) -> Response | Miss: ...
    def remember_missing(self, key: str, now_s: float) -> Response: ...

def plain(
    status: int, text: str, cache_control: str, extra: Iterable[tuple[str, str]] = ...
) -> Response: ...
def split_path(path: str) -> tuple[str, str] | None: ...
