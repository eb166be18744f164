"""Titles as clients make them: uploaded again and again until an answer says that it is done."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from tests.chaos.clips import Clip

USER = {"X-User-ID": "chaos"}
RETRY_S = 0.5
UPLOADED_WITHIN_S = 400.0  # longer than the lease of an upload whose server was killed
REQUEST_TIMEOUT_S = 30.0
ASK_AGAIN = (408, 409, 429)


@dataclass
class Title:
    number: int
    clip: Clip
    is_doomed: bool = False  # a DELETE is or was on its way
    media_ids: set[str] = field(default_factory=set)  # as told; more than one is a mistake

    @property
    def key(self) -> str:
        return f"chaos-{self.number}"

    @property
    def media_id(self) -> str:
        (media_id,) = self.media_ids
        return media_id


class Client:
    """Counts what went wrong on the way; `refused` are answers that no retry can help."""

    def __init__(self, url: str, dice: random.Random) -> None:
        self.trouble: Counter[str] = Counter()
        self.refused: list[str] = []
        self._dice = dice
        self._http = httpx.AsyncClient(base_url=url, headers=USER, timeout=REQUEST_TIMEOUT_S)

    async def close(self) -> None:
        await self._http.aclose()

    async def upload(self, title: Title) -> None:
        data = title.clip.path.read_bytes()
        answer = await self._until_answered(
            f"upload of {title.key}",
            "POST",
            "/api/v1/upload",
            headers={"Idempotency-Key": title.key},
            files={"file": (title.clip.path.name, data)},
            data={"title": title.key},
        )
        if answer is not None and answer.is_success:
            title.media_ids.add(answer.json()["id"])

    async def delete(self, title: Title) -> None:
        title.is_doomed = True
        answer = await self._until_answered(
            f"deletion of {title.key}", "DELETE", f"/api/v1/media/{title.media_id}"
        )
        assert answer is None or answer.status_code in (204, 404), answer.text

    async def retry(self, title: Title) -> None:
        await self._steer(title, "retry", {})

    async def hurry(self, title: Title) -> None:
        await self._steer(title, "priority", {"priority": "high"})

    async def _steer(self, title: Title, how: str, wanted: dict[str, str]) -> None:
        """Refused where the title is over, or deleted: no trouble."""
        path = f"/api/v1/media/{title.media_id}/{how}"
        await self._until_answered(f"{how} of {title.key}", "POST", path, final=(409,), json=wanted)

    async def _until_answered(
        self, what: str, method: str, path: str, *, final: tuple[int, ...] = (), **request: object
    ) -> httpx.Response | None:
        """`final`: statuses that would else be a reason to ask again."""
        deadline = time.monotonic() + UPLOADED_WITHIN_S
        while time.monotonic() < deadline:
            try:
                answer = await self._http.request(method, path, **request)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                self.trouble[type(error).__name__] += 1
            else:
                status = answer.status_code
                if status in final or (status < 500 and status not in ASK_AGAIN):
                    if answer.is_error and status not in (404, *final):
                        self.refused.append(f"{what}: {status} {answer.text}")
                    return answer
                self.trouble[f"HTTP {status}"] += 1
            await asyncio.sleep(RETRY_S * self._dice.uniform(0.5, 1.5))
        self.refused.append(f"{what}: no answer within {UPLOADED_WITHIN_S:.0f} s")
        return None
