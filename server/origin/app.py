import time
from dataclasses import dataclass

from media.settings import Settings
from native.origin import Core, Miss, Request, Response
from native.token import TokenVerifier
from server.origin.fill import Filler
from server.tokens import TokenKeys
from stores.objects.base import ObjectStore

LARGEST_SHARE = 8  # an object above this fraction of the cache is passed through, not kept


@dataclass(frozen=True, slots=True)
class OriginStats:
    """Counted since the start, but for `entries` and `bytes`, which are now."""

    hits: int
    misses: int
    evictions: int
    rejections: int  # objects too large to be kept
    refusals: int  # requests that no token opened
    entries: int
    bytes: int


class Origin:
    """What both shells serve; one per process and event loop."""

    def __init__(self, core: Core, filler: Filler) -> None:
        self._core = core
        self._filler = filler

    def respond(self, request: Request) -> Response | Miss:
        return self._core.respond(request, time.time())

    async def fill(self, miss: Miss) -> Response:
        response = await self._filler.fill(miss)
        return response.without_body() if miss.request.is_head else response

    def purge(self, prefix: str) -> int:
        """Forget every object below a prefix, so that it is read anew or found missing."""
        return self._filler.purge(prefix)

    def withhold(self, prefix: str) -> None:
        """Serve nothing below a title's prefix any more, until `release`."""
        self._filler.withhold(prefix)

    def release(self, prefix: str) -> None:
        self._filler.release(prefix)

    def stats(self) -> OriginStats:
        objects = self._core.objects
        return OriginStats(
            hits=objects.hits,
            misses=objects.misses,
            evictions=objects.evictions,
            rejections=objects.rejections,
            refusals=self._core.refusals,
            entries=len(objects),
            bytes=objects.bytes,
        )


def create_origin(objects: ObjectStore, keys: TokenKeys, settings: Settings) -> Origin:
    budget_bytes = int(settings.origin.cache)
    core = Core(
        TokenVerifier(keys.by_kid()),
        budget_bytes,
        budget_bytes // LARGEST_SHARE,
        secrets=[secret.get_secret_value() for secret in settings.origin.secrets],
    )
    return Origin(core, Filler(core, objects))
