from collections.abc import Sequence

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from media.settings import Settings
from server.api.cors import Cors
from server.api.direct import DirectUploads
from server.api.envelope import Envelope
from server.api.events import Events
from server.api.metrics import Metrics
from server.api.openapi import describe
from server.api.operations import Gives, Operation, make_routes
from server.api.presign import PutDoor, SignedPuts
from server.api.reports import Reports
from server.api.stopping import Stopping
from server.api.system import System
from server.api.titles import Titles
from server.api.uploads import Uploads
from server.api.work import Work
from server.origin.app import Origin
from server.problems import KINDS, problem_response
from server.tokens import TokenKeys
from stores.errors import Unavailable
from stores.wiring import Stores

_log = structlog.get_logger("server.api")


def make_api(
    settings: Settings,
    stores: Stores,
    keys: TokenKeys,
    *,
    origin: Origin | None = None,
    stopping: Stopping | None = None,
    metrics: Metrics | None = None,
) -> Starlette:
    metrics = metrics or Metrics(settings, origin)
    stopping = stopping or Stopping()
    signer = SignedPuts(list(keys.secrets.values()))
    operations = [
        *System(settings.app, stores, metrics).operations(),
        *Uploads(stores, settings.server, metrics, stopping).operations(),
        *DirectUploads(stores, settings, signer).operations(),
        *PutDoor(stores, signer, settings.server.readtimeout, stopping).operations(),
        *Titles(stores, keys, settings, origin).operations(),
        *Events(stores.catalog, stopping).operations(),
        *Work(stores, settings.server).operations(),
        *Reports(keys, metrics.viewers, settings.server.readtimeout).operations(),
    ]
    operations.append(_description(operations, settings.app.version))
    api = Starlette(
        routes=make_routes(operations, settings.server.writetimeout),
        middleware=[
            Middleware(Envelope, metrics=metrics),
            Middleware(Cors, origins=settings.server.corsorigins),
        ],
        exception_handlers=dict.fromkeys([*KINDS, HTTPException], _answer_problem),
    )
    api.router.redirect_slashes = False
    return api


def _description(others: Sequence[Operation], version: str) -> Operation:
    async def get_description(request: Request) -> Response:
        return JSONResponse(description)

    operation = Operation(
        "GET",
        "/openapi.json",
        get_description,
        "This description",
        Gives(200, "An OpenAPI 3.1 document."),
        for_user=False,
    )
    description = describe([*others, operation], version)
    return operation


async def _answer_problem(request: Request, exc: Exception) -> Response:
    if isinstance(exc, Unavailable):  # its reason is for the operator, not for the client
        _log.error("store unavailable", reason=str(exc))
    return problem_response(request, exc)
