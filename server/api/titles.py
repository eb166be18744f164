import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from media.asset import Asset, Status
from media.keys import media_prefix
from media.settings import Settings
from server.api.bodies import Media, MediaList, Playback, answer, media_body
from server.api.links import Links
from server.api.operations import Gives, Operation, user_id
from server.origin.app import Origin
from server.problems import InvalidFields, NotPlayable, TitleFailed, TitleNotFound
from server.tokens import TokenKeys
from stores.catalog.base import Catalog, InvalidCursor
from stores.errors import Conflict, NotFound, Unavailable
from stores.removal import remove_title
from stores.wiring import Stores

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR = 512  # characters

_PAGING: dict[str, dict[str, object]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "cursor": {"type": "string", "maxLength": MAX_CURSOR},
}
_MEDIA_ID = re.compile(r"[0-9a-f]{24}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")


async def own_title(catalog: Catalog, request: Request) -> Asset:
    """The title that the path names. Another user's does not exist, nor does one being deleted."""
    media_id = request.path_params["id"]
    if _MEDIA_ID.fullmatch(media_id) is None:
        raise TitleNotFound()
    try:
        asset = await catalog.get(media_id)
    except NotFound as exc:
        raise TitleNotFound() from exc
    if asset.user_id != user_id(request) or asset.status is Status.DELETING:
        raise TitleNotFound()
    return asset


def base_url(request: Request, settings: Settings) -> str:
    if settings.server.publicurl is not None:
        return settings.server.publicurl.rstrip("/")
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        raise InvalidFields({"Host": "is not a host name with an optional port"})
    return f"{request.scope['scheme']}://{host}"


class Titles:
    def __init__(
        self, stores: Stores, keys: TokenKeys, settings: Settings, origin: Origin | None
    ) -> None:
        self._stores = stores
        self._links = Links(keys, settings)
        self._settings = settings
        self._origin = origin

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/api/v1/media",
                self.list_media,
                "List your titles, newest first",
                Gives(200, "A page of titles.", MediaList),
                query=_PAGING,
                problems=(InvalidFields, InvalidCursor, Unavailable),
            ),
            Operation(
                "GET",
                "/api/v1/media/{id}",
                self.get_media,
                "Look at one title",
                Gives(200, "The title.", Media),
                problems=(TitleNotFound, Unavailable),
            ),
            Operation(
                "DELETE",
                "/api/v1/media/{id}",
                self.delete_media,
                "Stop all work on a title and remove everything of it",
                Gives(204, "It is gone.", media_type=None),
                problems=(TitleNotFound, Unavailable),
            ),
            Operation(
                "GET",
                "/api/v1/media/{id}/playback",
                self.get_playback,
                "Get a URL that plays the title until it expires",
                Gives(200, "The URL.", Playback),
                problems=(TitleNotFound, NotPlayable, TitleFailed, InvalidFields, Unavailable),
            ),
        ]

    async def list_media(self, request: Request) -> Response:
        page = await self._stores.catalog.list_by_user(
            user_id(request), limit=_limit(request), cursor=_cursor(request)
        )
        items = [media_body(asset) for asset in page.items]
        return answer(MediaList(items=items, next_cursor=page.next_cursor))

    async def get_media(self, request: Request) -> Response:
        return answer(media_body(await own_title(self._stores.catalog, request)))

    async def delete_media(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        try:
            await self._stores.catalog.transition(asset.id, Status.DELETING)
            await self._remove(asset.id)
        except (Conflict, NotFound) as exc:  # another deletion was first
            raise TitleNotFound() from exc
        return Response(status_code=204)

    async def _remove(self, media_id: str) -> None:
        if self._origin is None:
            await remove_title(self._stores, media_id)
            return
        # Its objects may outlive this request by hours, if a store is away. The title stays
        # withheld then: a few bytes each, as long as this process runs.
        self._origin.withhold(media_prefix(media_id))
        await remove_title(self._stores, media_id)
        self._origin.release(media_prefix(media_id))

    async def get_playback(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        if asset.error is not None:
            raise TitleFailed(asset.error.message)
        if not asset.playable or asset.version is None:
            raise NotPlayable(f"The title is {asset.status}; its first segments are not out yet.")
        return self._links.answer(
            asset.id, asset.version, api_url=base_url(request, self._settings)
        )


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidFields({"limit": f"expected a number from 1 to {MAX_LIMIT}"})
    return int(text)


def _cursor(request: Request) -> str | None:
    cursor = request.query_params.get("cursor")
    if cursor is not None and len(cursor) > MAX_CURSOR:
        raise InvalidFields({"cursor": f"has more than {MAX_CURSOR} characters"})
    return cursor
