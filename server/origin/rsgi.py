"""The origin as an RSGI application: the cheaper shell, for a process that is nothing else.

RSGI shows the path percent-decoded. It is decoded once and then checked as it is looked up, so an
encoded path is no more than a second spelling of a URL that the token opens anyway.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Generator
from typing import Protocol

from native.origin import Miss, Request, Response
from server.origin.app import Origin
from server.origin.system import PATHS, System
from stores.objects.base import ObjectStore

FAREWELL_S = 2.0  # longer than a client that is busy waits between two requests


class RequestHeaders(Protocol):
    def get(self, name: str) -> str | None: ...


class HttpScope(Protocol):
    method: str
    path: str

    @property
    def headers(self) -> RequestHeaders: ...


class HttpProtocol(Protocol):
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class _Answered:
    """What to await when there is nothing left to do; one serves all requests."""

    def __await__(self) -> Generator[None]:
        yield from ()


_ANSWERED = _Answered()


class OriginRSGI:
    def __init__(
        self,
        origin: Origin,
        objects: ObjectStore,
        system: System,
        stop_accepting: Callable[[], None],
    ) -> None:
        self._origin = origin
        self._objects = objects
        self._system = system
        self._stop_accepting = stop_accepting
        self._send = _send

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._objects.check())
        self._origin.start(loop)
        self._system.start(loop)
        loop.add_signal_handler(signal.SIGTERM, self._stop, loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._origin.close())
        loop.run_until_complete(self._objects.close())

    def __rsgi__(self, scope: HttpScope, protocol: HttpProtocol) -> Awaitable[None]:
        answer = self._origin.respond(_request(scope))
        if isinstance(answer, Miss):
            return self._fill(answer, protocol)
        self._send(protocol, answer)
        return _ANSWERED

    def answer(self, scope: HttpScope, protocol: HttpProtocol) -> bool:
        """Answer what needs no waiting, on any thread; False for the rest, which is untouched."""
        answer = self._origin.respond(_request(scope))
        if isinstance(answer, Miss):
            return False
        self._send(protocol, answer)
        return True

    async def _fill(self, miss: Miss, protocol: HttpProtocol) -> None:
        if miss.key in PATHS:
            response = await self._system.answer(miss.request)
        else:
            response = await self._origin.fill(miss)
        self._send(protocol, response)  # by now it may be the last that is sent

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Granian would close idle connections at once, and lose the requests that are on their
        way just then. So for a moment every answer tells its client to go elsewhere with the next
        request; then SIGINT, which Granian takes for the same, is sent on."""
        self._stop_accepting()
        self._send = _send_last
        loop.call_later(FAREWELL_S, signal.raise_signal, signal.SIGINT)


def _request(scope: HttpScope) -> Request:
    header = scope.headers.get  # each access to `headers` copies them all
    path = scope.path
    return Request(
        scope.method,
        path,
        range=header("range"),
        if_range=header("if-range"),
        if_none_match=header("if-none-match"),
        accept_encoding=header("accept-encoding"),
        origin_verify=header("x-origin-verify") if path.startswith("/v/") else None,
    )


def _send(protocol: HttpProtocol, response: Response) -> None:
    protocol.response_bytes(response.status, response.headers, response.body)


def _send_last(protocol: HttpProtocol, response: Response) -> None:
    headers = [*response.headers, ("connection", "close")]
    protocol.response_bytes(response.status, headers, response.body)
