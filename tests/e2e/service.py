"""A running installation, and a client for it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from media.keys import media_prefix
from media.settings import Settings
from stores.wiring import open_objects
from tests import service as command

TITLE_S = 900


@dataclass(frozen=True)
class Service:
    url: str
    processes: list[command.Service]
    settings: Settings
    client: httpx.Client
    kill: Callable[[str], None]  # `worker` or `redis-server`, which then come back

    def upload(self, clip: Path, **fields: str) -> str:
        """The new title's id."""
        with clip.open("rb") as file:
            files = {"file": (clip.name, file)}
            answer = self.client.post("/api/v1/upload", files=files, data=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def title(self, media_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/v1/media/{media_id}")
        assert answer.status_code == 200, answer.text
        title = answer.json()
        assert isinstance(title, dict)
        return title

    def wait(
        self, media_id: str, *, until: str = "status", within_s: float = TITLE_S
    ) -> dict[str, Any]:
        """The title once it is ready or failed, or once it is playable (`until="playable"`)."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            title = self.title(media_id)
            if title["status"] in {"ready", "failed"} or (
                until == "playable" and title["playable"]
            ):
                return title
            time.sleep(0.1)
        raise AssertionError(f"{media_id} is neither ready nor failed: {self.title(media_id)}")

    def playback_url(self, media_id: str) -> str:
        answer = self.client.get(f"/api/v1/media/{media_id}/playback")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"])

    def published(self, media_id: str) -> list[str]:
        """The keys of all objects of the title's packages."""
        return asyncio.run(_keys(self.settings, media_prefix(media_id)))

    def descendants(self) -> list[psutil.Process]:
        return [child for process in self.processes for child in process.children()]


async def _keys(settings: Settings, prefix: str) -> list[str]:
    objects = open_objects(settings)
    try:
        return [info.key async for info in objects.list(prefix)]
    finally:
        await objects.close()
