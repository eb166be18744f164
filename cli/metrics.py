"""A worker's own small listener: GET /metrics for Prometheus, GET /health for whoever restarts what
does not live any more."""

import asyncio
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from prometheus_client import CollectorRegistry, make_asgi_app

from cli.process import try_port
from media.settings import WorkerSettings
from stores.errors import Unavailable
from stores.jobs.base import Worker

CONNECTIONS = 64
HEAD_TIMEOUT_MS = 5_000
MAX_HEAD_BYTES = 8 * 1024  # the least that the server takes
ALIVE = (200, b"alive\n")
STUCK = (503, b"the worker takes no turn at the job engine any more\n")
NOTHING = (404, b"there are /metrics and /health\n")


async def listen(settings: WorkerSettings, worker: Worker, registry: CollectorRegistry) -> None:
    """Until it is cancelled. Raises Unavailable if the port cannot be had."""
    if settings.metricsport is None:
        return
    _check_port(settings.metricshost, settings.metricsport)
    server = Server(
        _Listener(worker, registry),
        address=settings.metricshost,
        port=settings.metricsport,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEAD_TIMEOUT_MS, max_buffer_size=MAX_HEAD_BYTES
        ),
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.wait([serving])
        raise RuntimeError("the listener at worker.metricsport has ended")
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await serving


class _Listener:
    """An ASGI application."""

    def __init__(self, worker: Worker, registry: CollectorRegistry) -> None:
        self._worker = worker
        self._metrics: Any = make_asgi_app(registry)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/metrics":
            await self._metrics(scope, receive, send)
            return
        status, body = NOTHING
        if scope["path"] == "/health":
            status, body = ALIVE if self._worker.is_alive() else STUCK
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _check_port(host: str, port: int) -> None:
    try:
        try_port(host, port)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port}, worker.metricsport: {error.strerror}; workers of one "
            "machine need a port each"
        ) from error
