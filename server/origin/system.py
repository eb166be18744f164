"""What operators and machines ask of an origin process, beside the media it serves."""

import asyncio
import time

import orjson

from media.settings import AppSettings
from native.origin import Request, Response
from server.origin.app import Origin
from server.origin.board import Board
from stores.errors import Unavailable
from stores.objects.base import ObjectStore

PATHS = frozenset({"/health", "/ready", "/metrics"})
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WRITE_EVERY_S = 1.0
CHECK_TIMEOUT_S = 2
CHECKED_FOR_S = 1.0  # whoever asks, the store is asked once in this time


class System:
    def __init__(
        self, app: AppSettings, origin: Origin, objects: ObjectStore, board: Board
    ) -> None:
        self._health = orjson.dumps({"status": "ok", **app.model_dump()})
        self._version = app.version
        self._origin = origin
        self._objects = objects
        self._board = board
        self._check: asyncio.Task[str | None] | None = None
        self._checked_at_s = 0.0
        self._counted: asyncio.Task[int | None] | None = None
        self._counted_at_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._board.write(self._origin.stats())
        loop.call_later(WRITE_EVERY_S, self.start, loop)

    async def answer(self, request: Request) -> Response:
        response = await self._respond(request.path)
        return response.without_body() if request.is_head else response

    async def _respond(self, path: str) -> Response:
        match path:
            case "/health":
                return _response(200, self._health, "application/json")
            case "/ready":
                failure = await self._failure()
                return _response(503 if failure else 200, f"{failure or 'ready'}\n".encode())
            case "/metrics":
                return _response(200, await self._metrics(), METRICS_TYPE)
            case _:
                raise AssertionError(path)

    async def _metrics(self) -> bytes:
        self._board.write(self._origin.stats())
        return await asyncio.to_thread(self._board.render, self._version, await self._connections())

    async def _connections(self) -> int | None:
        """Whoever asks, the kernel's tables are read once in a time."""
        if self._counted is None or time.monotonic() > self._counted_at_s + CHECKED_FOR_S:
            self._counted_at_s = time.monotonic()
            counting = asyncio.to_thread(self._origin.connections)
            self._counted = asyncio.create_task(counting)
        return await asyncio.shield(self._counted)

    async def _failure(self) -> str | None:
        check = self._check
        if check is None or (
            check.done() and time.monotonic() > self._checked_at_s + CHECKED_FOR_S
        ):
            self._check = check = asyncio.create_task(self._check_store())
        return await asyncio.shield(check)

    async def _check_store(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._objects.check()
        except Unavailable as exc:
            return str(exc)
        except TimeoutError:
            return f"the object store did not answer within {CHECK_TIMEOUT_S} s"
        finally:
            self._checked_at_s = time.monotonic()
        return None


def _response(
    status: int, body: bytes, content_type: str = "text/plain; charset=utf-8"
) -> Response:
    headers = [
        ("content-type", content_type),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    ]
    return Response(status, headers, body)
