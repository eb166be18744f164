"""Which pages of other origins may call the API: none, but for those that are named.

X-User-ID is all that a user is known by, so a page that may send it may do anything in a user's
name. A signed upload URL speaks for itself, and so does a playback token: they are sent to from
wherever they were given to.
"""

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_SIGNED_PATH = re.compile(r"/api/v1/(upload/[0-9a-f]{24}|cmcd)")


class Cors:
    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        if origins:
            self._app = CORSMiddleware(
                app,
                allow_origins=origins,
                allow_methods=["GET", "HEAD", "POST", "DELETE"],
                allow_headers=[
                    "Content-Type",
                    "Idempotency-Key",
                    "Last-Event-ID",
                    "X-User-ID",
                    "X-Request-ID",
                ],
                expose_headers=["Location", "Retry-After", "X-Request-ID"],
            )
        self._signed = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["PUT", "POST"],
            allow_headers=["*"],
            expose_headers=["ETag", "Retry-After", "X-Request-ID"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        signed = _SIGNED_PATH.fullmatch(scope["path"]) is not None
        await (self._signed if signed else self._app)(scope, receive, send)
