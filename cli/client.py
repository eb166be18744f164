"""The control API as the client commands see it."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypedDict, cast

import httpx

from cli.config import Client

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0  # after the last byte of an upload its store may have to be flushed
PAGE_SIZE = 100
UNDER_WAY = "urn:headrace:problem:upload-under-way"


class Failure(TypedDict):
    code: str
    message: str
    retryable: bool


class Media(TypedDict):
    id: str
    title: str
    description: str
    type: str
    status: str
    priority: str
    playable: bool
    progress: float
    duration_s: float | None
    source: dict[str, Any]
    renditions: list[dict[str, Any]]
    error: Failure | None
    created_at: str
    updated_at: str


class ApiError(Exception):
    """A request that did not succeed, told so that a person can act on it."""


class Interrupted(ApiError):
    """Nobody can tell whether the request was carried out, or it still is."""


class Api:
    def __init__(self, client: Client) -> None:
        self._url = client.url
        if not (client.user.isascii() and client.user.isprintable()):
            raise ApiError(f"{client.user!r} cannot be a user: letters and digits are wanted")
        if not client.url.startswith(("http://", "https://")):
            raise ApiError(f"{client.url!r} is not a URL: http:// or https:// is wanted")
        self._http = httpx.AsyncClient(
            base_url=client.url,
            headers={"X-User-ID": client.user},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def upload(
        self, path: Path, content: BinaryIO, fields: Mapping[str, str], key: str
    ) -> Media:
        """Stream a file; `content` is `path` opened, and may count what is read from it. However
        often it is called with one key, it makes one title."""
        answer = await self._request(
            "POST",
            "/api/v1/upload",
            data=fields,
            files={"file": (path.name, content)},
            headers={"Idempotency-Key": key},
        )
        return cast(Media, answer.json())

    async def media(self, media_id: str) -> Media:
        return cast(Media, (await self._request("GET", _path(media_id))).json())

    async def list_media(self) -> AsyncIterator[Media]:
        """Newest first; pages are fetched as they are needed."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": PAGE_SIZE, **({"cursor": cursor} if cursor else {})}
            page = (await self._request("GET", "/api/v1/media", params=query)).json()
            for media in page["items"]:
                yield media
            cursor = page["next_cursor"]

    async def set_priority(self, media_id: str, priority: str) -> Media:
        wanted = {"priority": priority}
        answer = await self._request("POST", _path(media_id) + "/priority", json=wanted)
        return cast(Media, answer.json())

    async def retry(self, media_id: str, priority: str | None) -> Media:
        wanted = {"priority": priority}
        return cast(
            Media, (await self._request("POST", _path(media_id) + "/retry", json=wanted)).json()
        )

    async def delete(self, media_id: str) -> None:
        await self._request("DELETE", _path(media_id))

    async def playback_url(self, media_id: str) -> str:
        return cast(str, (await self._request("GET", _path(media_id) + "/playback")).json()["url"])

    async def missing(self) -> str | None:
        """What the service says it lacks to be ready; "" if nothing. None: no answer at all."""
        try:
            answer = await self._http.get("/ready")
        except httpx.TransportError:
            return None
        return "" if answer.is_success else _explain(answer)

    async def _request(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **how)
        except httpx.ConnectError as error:
            raise ApiError(
                f"nothing answers at {self._url}; start the service with `headrace up`, "
                "or name another with --url"
            ) from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Interrupted(f"the connection to {self._url} failed: {reason}") from error
        if answer.is_success:
            return answer
        raise (Interrupted if _is_under_way(answer) else ApiError)(_explain(answer))


def _path(media_id: str) -> str:
    if not media_id.replace("-", "").replace("_", "").isalnum():
        raise ApiError(f"{media_id!r} is not the id of a title; `headrace media ls` lists them")
    return f"/api/v1/media/{media_id}"


def _is_under_way(answer: httpx.Response) -> bool:
    return _is_problem(answer) and bool(answer.json()["type"] == UNDER_WAY)


def _is_problem(answer: httpx.Response) -> bool:
    content_type: str = answer.headers.get("Content-Type", "")
    return content_type.startswith("application/problem+json")


def _explain(answer: httpx.Response) -> str:
    if _is_problem(answer):
        problem = answer.json()
        return f"{problem['title']}: {problem['detail']} (status {answer.status_code})"
    return f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"
