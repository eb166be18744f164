"""The receiver of webhooks: one POST, signed as Standard Webhooks 1.0.0 has it."""

import asyncio
import base64
import hashlib
import hmac
import time
from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr

from media.event import Event
from media.settings import webhook_key
from server.api.bodies import webhook_body

CONNECT_S = 5.0
REQUEST_S = 15.0  # all of it
MAX_ANSWER_BYTES = 16 * 1024  # read so that the connection can be used again, and thrown away
MAX_RETRY_AFTER_S = 6 * 3600


class NotTaken(Exception):
    """What the receiver did instead of answering with a 2xx."""

    def __init__(self, reason: str, *, retry_after_s: int = 0, gone: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.gone = gone


class Receiver:
    def __init__(self, url: str, secret: SecretStr, *, connections: int) -> None:
        self._url = url
        self._key = webhook_key(secret)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(REQUEST_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=connections),
            headers={"User-Agent": "headrace", "Content-Type": "application/json"},
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def send(self, event: Event) -> None:
        """Raises NotTaken."""
        body = webhook_body(event).model_dump_json().encode()
        headers = signed_headers(self._key, f"{event.media_id}-{event.number}", body)
        try:
            async with asyncio.timeout(REQUEST_S):
                response = await self._post(body, headers)
        except TimeoutError as exc:
            raise NotTaken(f"no answer within {REQUEST_S:g} s") from exc
        except httpx.HTTPError as exc:
            raise NotTaken(repr(exc)) from exc
        if not response.is_success:
            raise NotTaken(
                f"status {response.status_code}",
                retry_after_s=_retry_after_s(response),
                gone=response.status_code == httpx.codes.GONE,
            )

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    break
            return response


def signed_headers(key: bytes, message_id: str, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def _retry_after_s(response: httpx.Response) -> int:
    """Its other form, a date, is left to the back-off."""
    text = response.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return 0
    return min(int(text), MAX_RETRY_AFTER_S)
