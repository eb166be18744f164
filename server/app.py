"""The ASGI applications: everything in one process, or the control API alone."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from media.settings import Settings, WebhookSettings
from server.api.app import make_api
from server.api.metrics import Metrics
from server.api.stopping import Stopping
from server.origin.app import create_origin
from server.origin.asgi import OriginASGI
from server.receiver import Receiver
from server.tokens import load_keys
from server.webhooks import PARALLEL, Webhooks
from stores.catalog.base import Catalog
from stores.wiring import open_stores, traced

PLAYER_PAGE = Path(__file__).parent / "player" / "dist"
ORIGIN_PATHS = (b"/t/", b"/v/")

_log = structlog.get_logger("server")


def create_app(settings: Settings, *, page: Path = PLAYER_PAGE) -> ASGIApp:
    """The control API, the origin, and the player page at `/`."""
    return _App(settings, origin=True, page=_page_routes(page, settings))


def create_api_app(settings: Settings, *, page: Path | None = None) -> ASGIApp:
    """The page plays from an origin elsewhere, see `origin.publicurl`."""
    routes = () if page is None else _page_routes(page, settings)
    return _App(settings, origin=False, page=routes)


class _App:
    def __init__(self, settings: Settings, *, origin: bool, page: Sequence[BaseRoute]) -> None:
        self._settings = settings
        self._with_origin = origin
        self._page = page
        self._lifespan = Router(lifespan=self._run)
        self._api: Starlette | None = None
        self._origin: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._origin is not None and scope["raw_path"].startswith(ORIGIN_PATHS):
            await self._origin(scope, receive, send)
        else:
            assert self._api is not None, "the lifespan has not started"
            await self._api(scope, receive, send)

    @asynccontextmanager
    async def _run(self, app: object) -> AsyncIterator[None]:
        keys = load_keys(self._settings.signing, self._settings.data.dir)
        component = "all" if self._with_origin else "api"
        async with traced(self._settings, component), open_stores(self._settings) as stores:
            origin = None
            if self._with_origin:
                origin = create_origin(stores.objects, keys, self._settings)
                origin.start(asyncio.get_running_loop())
                self._origin = OriginASGI(origin)
            stopping = Stopping()
            metrics = Metrics(self._settings, origin)
            self._api = make_api(
                self._settings, stores, keys, origin=origin, stopping=stopping, metrics=metrics
            )
            self._api.routes.extend(self._page)
            _before_stop(stopping.stop)
            async with _webhooks(self._settings.webhook, stores.catalog, metrics):
                yield
            if origin is not None:
                await origin.close()


@asynccontextmanager
async def _webhooks(
    settings: WebhookSettings, catalog: Catalog, metrics: Metrics
) -> AsyncIterator[None]:
    """Delivers events meanwhile, if there is anywhere to deliver them to."""
    if settings.url is None or settings.secret is None:
        yield
        return
    async with Receiver(settings.url, settings.secret, connections=PARALLEL) as receiver:
        delivering = asyncio.create_task(Webhooks(receiver, catalog, metrics).run())
        delivering.add_done_callback(_report_end)
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])


def _report_end(delivering: asyncio.Task[None]) -> None:
    if not delivering.cancelled() and (exc := delivering.exception()) is not None:
        _log.error("webhooks have ended", exc_info=exc)


def _before_stop(action: Callable[[], None]) -> None:
    """At SIGTERM the HTTP server waits for the requests under way and tells nobody, so the signal
    is taken from it, and SIGINT, which means the same to it, is sent on."""

    def stop() -> None:
        action()
        signal.raise_signal(signal.SIGINT)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)


class _Assets(StaticFiles):
    """Their names hold a hash of their content."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def _page_routes(directory: Path, settings: Settings) -> list[BaseRoute]:
    index = directory / "index.html"
    if not index.is_file():
        raise RuntimeError(f"{directory} has no player page: build it with `make player`")
    page = index.read_bytes()
    media_host = settings.media_url or settings.server.publicurl or ""
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": (
            "default-src 'self'; img-src 'self' data:; worker-src 'self' blob:; "
            f"media-src 'self' blob: {media_host}; connect-src 'self' {media_host}; "
            "frame-ancestors 'self'"
        ),
    }

    async def get_page(request: Request) -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    return [Route("/", get_page), Mount("/assets", _Assets(directory=directory / "assets"))]
