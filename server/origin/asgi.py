"""The origin as an ASGI application, for a server that does other things too."""

from starlette.types import Receive, Scope, Send

from native.origin import Miss, Request
from server.origin.app import Origin

_FIELDS = {
    b"range": "range",
    b"if-range": "if_range",
    b"if-none-match": "if_none_match",
    b"accept-encoding": "accept_encoding",
    b"x-origin-verify": "origin_verify",
}


class OriginASGI:
    """Answers paths that begin with `/t/` or `/v/`; of the request only the head is read."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        answer = self._origin.respond(_request(scope))
        if isinstance(answer, Miss):
            answer = await self._origin.fill(answer)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": answer.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": answer.body})


def _request(scope: Scope) -> Request:
    """From `raw_path`: in `path` an encoded slash looks like a slash."""
    fields = {
        _FIELDS[name]: value.decode("latin-1")
        for name, value in reversed(scope["headers"])  # the first of its name counts
        if name in _FIELDS
    }
    return Request(scope["method"], scope["raw_path"].decode("latin-1"), **fields)
