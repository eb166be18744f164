"""What operators and machines ask of an origin process, beside the media it serves."""

import asyncio
import time
from dataclasses import astuple

import orjson

from media.settings import Settings
from native.connection import Connections
from native.origin import Request, Response
from server.origin.app import Origin
from server.origin.board import Board
from server.origin.stats import ServerStats
from stores.errors import Unavailable
from stores.objects.base import ObjectStore

PATHS = frozenset({"/health", "/ready", "/metrics"})
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WRITE_EVERY_S = 1.0
CHECK_TIMEOUT_S = 2
CHECKED_FOR_S = 1.0  # whoever asks, the store is asked once in this time


class System:
    def __init__(
        self,
        settings: Settings,
        origin: Origin,
        objects: ObjectStore,
        board: Board,
        connections: Connections,
    ) -> None:
        self._health = orjson.dumps({"status": "ok", **settings.app.model_dump()})
        self._version = settings.app.version
        self._disk = settings.data.dir if settings.origin.diskcache else None
        self._origin = origin
        self._objects = objects
        self._board = board
        self._connections = connections
        self._check: asyncio.Task[str | None] | None = None
        self._checked_at_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._board.write(self._stats())
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
        self._board.write(self._stats())
        return await asyncio.to_thread(self._board.render, self._version, self._disk)

    def _stats(self) -> ServerStats:
        served = (self._connections.bytes_sent, len(self._connections.open))
        return ServerStats(*(*astuple(self._origin.stats()), *served))

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
