"""The HTTP server processes: all in one, the control API alone, the origin alone."""

import asyncio
import gc
import os
import signal
import sys
from enum import StrEnum
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops, TaskImpl
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from cli.config import ConfigError, load_settings
from cli.listening import GENERATIONS, OriginServer, Seat
from cli.logs import configure_logging
from cli.process import allow_many_connections
from media.settings import Settings
from server.app import PLAYER_PAGE, create_api_app, create_app
from server.cloudfront import load_cloudfront_key
from server.origin.app import create_origin
from server.origin.board import Board
from server.origin.http1 import OriginHTTP
from server.origin.system import PATHS
from server.tokens import load_keys
from stores.processes import die_with_parent
from stores.wiring import open_objects, wait_for_stores

MAX_HEAD_BYTES = 64 * 1024  # CloudFront sends at most 20 KiB
STOP_TIMEOUT_S = 8  # for requests under way; after that their connections are cut
SWITCH_INTERVAL_S = 0.0005  # a thread with an answer ready waits no longer for the interpreter
# Granian writes through loggers of its own unless told otherwise.
GRANIAN_LOGGING = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}


class Role(StrEnum):
    ALL = "all"
    API = "api"
    API_AND_PAGE = "api-and-page"
    ORIGIN = "origin"


def serve(role: Role, settings: Settings, *, colour: bool | None) -> None:
    """Until SIGINT or SIGTERM. Raises ConfigError, Unavailable."""
    try:
        settings.require_keys()
        load_keys(settings.signing, settings.data.dir)
        if role is not Role.ORIGIN:
            load_cloudfront_key(settings.signing)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    asyncio.run(wait_for_stores(settings, objects_only=role is Role.ORIGIN))
    allow_many_connections()
    if role is Role.ORIGIN:
        board = Board(GENERATIONS * settings.origin.processes)
        server = OriginServer(role, workers=settings.origin.processes, **_common(settings))
        server.serve_origins(partial(_load_origin, board, os.getpid(), colour))
    else:
        loader: partial[Any] = partial(_load, role, os.getpid(), colour)
        _granian(role, settings).serve(target_loader=loader, wrap_loader=False)


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "address": settings.server.host,
        "port": settings.server.port,
        "loop": Loops.uvloop,
        "websockets": False,
        "log_level": LogLevels.info if settings.log.level == "debug" else LogLevels.error,
        "log_dictconfig": GRANIAN_LOGGING,
        "workers_kill_timeout": STOP_TIMEOUT_S,
    }


def _granian(role: Role, settings: Settings) -> MPServer:
    read_timeout_ms = round(settings.server.readtimeout.total_seconds() * 1000)
    return MPServer(
        role,
        interface=Interfaces.ASGI,
        task_impl=TaskImpl.asyncio,
        http=HTTPModes.http1,
        backpressure=settings.server.connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=read_timeout_ms, max_buffer_size=MAX_HEAD_BYTES
        ),
        **_common(settings),
    )


def _load(role: Role, parent: int, colour: bool | None) -> object:
    """Called in Granian's worker process, which may share nothing with this one."""
    settings = _begin(parent, colour)
    application = _application(role, settings)
    _finish_loading()
    return application


def _application(role: Role, settings: Settings) -> object:
    match role:
        case Role.ALL:
            return create_app(settings)
        case Role.API:
            return create_api_app(settings)
        case Role.API_AND_PAGE:
            return create_api_app(settings, page=PLAYER_PAGE)
        case Role.ORIGIN:
            raise AssertionError(role)


def _load_origin(board: Board, parent: int, colour: bool | None, seat: Seat) -> OriginHTTP:
    settings = _begin(parent, colour)
    objects = open_objects(settings)
    keys = load_keys(settings.signing, settings.data.dir)
    origin = create_origin(objects, keys, settings, beside=PATHS)
    board.join(seat.number)
    application = OriginHTTP(origin, objects, board, settings)
    _finish_loading()
    return application


def _begin(parent: int, colour: bool | None) -> Settings:
    # A forked worker has its parent's handler until it serves, which would swallow the signal.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(parent)
    settings = load_settings()
    configure_logging(settings.log, colour=colour)
    return settings


def _finish_loading() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # what is loaded by now stays, so collections need not look at it again
