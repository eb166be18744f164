import asyncio
import re
import time
from contextlib import suppress
from secrets import token_hex

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.metrics import Metrics, known_method
from server.api.operations import is_user_id
from server.problems import problem_response
from stores import tracing

UNTRACED = frozenset({"/health", "/ready", "/metrics"})  # asked every few seconds
DISCARD_S = 1.0  # for the rest of a refused body

MAX_LOGGED = 200  # characters of a path

_TOKEN = re.compile("/t/[^/]+")  # what was meant for an origin opens a title there
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_log = structlog.get_logger("server.api")


class Envelope:
    """Round every control request: its id, its line in the log, its metrics, and the answer to
    an error that nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Exchange(self._app, scope, receive, send).run(self._metrics)


class _Exchange:
    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status = 0  # until the answer has begun
        headers = Request(scope).headers
        self._user = headers.get("x-user-id", "")
        given = headers.get("x-request-id", "")
        self._id = given if _REQUEST_ID.fullmatch(given) else token_hex(8)
        has_body = "content-length" in headers or "transfer-encoding" in headers
        self._more_comes = has_body and "expect" not in headers  # who expects waits to be asked

    async def run(self, metrics: Metrics) -> None:
        if self._scope["path"] in UNTRACED:
            await self._run(metrics)
            return
        method = known_method(self._scope["method"])
        with tracing.span(method, {tracing.METHOD: method}, kind=tracing.SERVER) as span:
            await self._run(metrics)
            span.rename(f"{method} {self._route}")
            span.note({tracing.ROUTE: self._route, tracing.STATUS: self._status})

    @property
    def _route(self) -> str:
        return getattr(self._scope.get("route"), "path", "unmatched")

    async def _run(self, metrics: Metrics) -> None:
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request=self._id):
            metrics.requests_in_progress.inc()
            try:
                await self._app(self._scope, self._take, self._begin)
            except Exception as exc:
                _log.exception("request failed")
                if self._status:  # too late for another answer: let the server cut it off
                    raise
                answer = problem_response(Request(self._scope), exc)
                await answer(self._scope, self._take, self._begin)
            finally:
                metrics.requests_in_progress.dec()
                self._report(time.perf_counter() - started, metrics)

    async def _take(self) -> Message:
        message = await self._receive()
        self._more_comes = message.get("more_body", False)
        return message

    async def _begin(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            await self._discard_rest()
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self._id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)

    async def _discard_rest(self) -> None:
        """A client that writes its whole body before it reads loses the answer when the
        connection is closed meanwhile; it gets a moment to finish."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while self._more_comes:
                    await self._take()

    def _report(self, duration_s: float, metrics: Metrics) -> None:
        metrics.observe(self._route, self._scope["method"], self._status, duration_s)
        _log.info(
            "request",
            method=self._scope["method"],
            path=_TOKEN.sub("/t/(token)", self._scope["path"])[:MAX_LOGGED],
            status=self._status,
            ms=round(duration_s * 1000, 1),
            client=(self._scope.get("client") or ("", 0))[0],
            **self._about(),
        )

    def _about(self) -> dict[str, str]:
        """Whose request it was, and of which title."""
        media_id = self._scope.get("path_params", {}).get("id")
        user = self._user if is_user_id(self._user) else None
        known = {"media": media_id, "user": user}
        return {name: value for name, value in known.items() if value is not None}
