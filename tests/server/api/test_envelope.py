import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from media.settings import Settings
from server.api.envelope import Envelope
from server.api.metrics import Metrics
from tests.server.api.service import metric

SECRET = "postgres://user:password@internal"


def exchange(app: ASGIApp, metrics: Metrics, path: str = "/x") -> list[Message]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"x-request-id", b"r-1")],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Envelope(app, metrics)(scope, receive, send))
    return sent


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError(SECRET)


async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError(SECRET)


def test_unforeseen_error_is_logged_and_not_leaked() -> None:
    metrics = Metrics(Settings(), None)
    with capture_logs() as logs:
        start, body = exchange(fails, metrics)
    assert start["status"] == 500
    assert (b"x-request-id", b"r-1") in start["headers"]
    assert json.loads(body["body"])["type"] == "urn:headrace:problem:internal"
    assert SECRET not in str(body)
    assert [entry["event"] for entry in logs] == ["request failed", "request"]
    assert (logs[0]["exc_info"], logs[1]["status"]) == (True, 500)
    count = (
        'headrace_http_request_duration_seconds_count{method="GET",route="unmatched",status="500"}'
    )
    assert metric(metrics.render({}, {}, {}).decode(), count) == 1


def test_error_after_the_answer_has_begun_is_left_to_the_server() -> None:
    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        exchange(fails_late, Metrics(Settings(), None))
    assert [entry["event"] for entry in logs] == ["request failed", "request"]


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/api/v1/media/a", "/api/v1/media/a"),
        ("/t/secret/v/a/b/index.m3u8", "/t/(token)/v/a/b/index.m3u8"),
        ("/x//t/secret", "/x//t/(token)"),
        ("/" + "x" * 9999, "/" + "x" * 199),
    ],
)
def test_path_is_logged_without_a_token_and_not_without_end(path: str, logged: str) -> None:
    with capture_logs() as logs:
        exchange(answers, Metrics(Settings(), None), path)
    assert [entry["path"] for entry in logs] == [logged]
