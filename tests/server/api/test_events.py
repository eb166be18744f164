import asyncio
import json
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from media.event import EventKind
from server.api import events
from tests.server.api.description import Description
from tests.server.api.service import Server
from tests.server.lives import FAILURE, LIFE, RETRIED_LIFE, catalog_in, go_on, live
from tests.service import ready, until

TIMEOUT_S = 30.0
Told = dict[str, Any]


def lived(data: Path, kinds: Sequence[EventKind] = LIFE, user: str = "ann") -> str:
    async def scenario() -> str:
        catalog = catalog_in(data)
        try:
            return await live(catalog, user, kinds)
        finally:
            await catalog.close()

    return asyncio.run(scenario())


def goes_on(data: Path, media_id: str, *kinds: EventKind) -> None:
    async def scenario() -> None:
        catalog = catalog_in(data)
        try:
            await go_on(catalog, media_id, *kinds)
        finally:
            await catalog.close()

    asyncio.run(scenario())


CLIENT = httpx.Client(timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=None))


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    CLIENT.close()


@contextmanager
def listening(
    url: str, media_id: str, after: int | None = None, user: str = "ann"
) -> Iterator[httpx.Response]:
    headers = {"X-User-ID": user, **({} if after is None else {"Last-Event-ID": str(after)})}
    path = f"{url}/api/v1/media/{media_id}/events"
    with CLIENT.stream("GET", path, headers=headers) as stream:
        yield stream


def told(stream: httpx.Response) -> Iterator[Told]:
    """What an EventSource makes of a stream: data with its id and event; comments are not seen."""
    fields: dict[str, str] = {}
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif not line and "data" in fields:
            event = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(event["number"]), event["kind"])
            yield event
        if not line:
            fields = {}


def numbers(events: Sequence[Told]) -> list[int]:
    return [event["number"] for event in events]


def test_late_listener_is_told_the_whole_life(
    server: Server, data_dir: Path, description: Description
) -> None:
    media_id = lived(data_dir)
    with listening(server.url, media_id) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        events = [*told(stream)]
    assert [event["kind"] for event in events] == list(LIFE)
    assert numbers(events) == [*range(1, len(LIFE) + 1)]
    assert [event["status"] for event in events] == [
        *("uploading", "queued", "processing", "processing", "processing", "processing", "ready")
    ]
    assert [event["playable"] for event in events] == [False] * 4 + [True] * 3
    schema = {"$ref": "#/components/schemas/TitleEvent"}
    whole = schema | {"components": description.document["components"]}
    for event in events:
        Draft202012Validator(whole).validate(event)


@pytest.mark.parametrize("after", range(len(LIFE) + 1))
@pytest.mark.parametrize("header", [True, False])
def test_listener_goes_on_after_the_last_event_it_had(
    after: int, header: bool, server: Server, data_dir: Path
) -> None:
    media_id = lived(data_dir)
    if header:
        with listening(server.url, media_id, after) as stream:
            events, status = [*told(stream)], stream.status_code
    else:
        path = f"/api/v1/media/{media_id}/events?after={after}"
        answer = httpx.get(server.url + path, headers={"X-User-ID": "ann"})
        events, status = [*told(answer)], answer.status_code
    assert numbers(events) == [*range(after + 1, len(LIFE) + 1)]
    assert status == (200 if events else 204)


def test_header_wins_over_the_query(server: Server, data_dir: Path) -> None:
    """An EventSource asks for the same URL again when its connection is lost."""
    media_id = lived(data_dir)
    url = f"{server.url}/api/v1/media/{media_id}/events?after=2"
    answer = httpx.get(url, headers={"X-User-ID": "ann", "Last-Event-ID": "5"})
    assert numbers([*told(answer)]) == [6, 7]


def test_listener_hears_of_events_as_they_happen(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, LIFE[:1])
    with listening(server.url, media_id) as stream, listening(server.url, media_id, 1) as other:
        heard = told(stream)
        for number, kind in enumerate(LIFE[1:], 2):
            assert next(heard)["number"] == number - 1
            goes_on(data_dir, media_id, kind)
        assert numbers([*heard]) == [len(LIFE)]
        assert numbers([*told(other)]) == [*range(2, len(LIFE) + 1)]


def test_title_that_is_retried_goes_on_being_told(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, RETRIED_LIFE[:4])
    with listening(server.url, media_id) as stream:
        first = [*told(stream)]
    assert first[-1]["error"] == {
        "code": FAILURE.code,
        "message": FAILURE.message,
        "retryable": FAILURE.retryable,
    }
    with listening(server.url, media_id, 4) as stream:
        assert stream.status_code == 204
    goes_on(data_dir, media_id, *RETRIED_LIFE[4:])
    with listening(server.url, media_id, 4) as stream:
        second = [*told(stream)]
    assert [event["kind"] for event in first + second] == list(RETRIED_LIFE)


def test_connected_listener_is_told_of_the_deletion(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, LIFE[:3])
    with listening(server.url, media_id) as stream:
        answer = httpx.delete(f"{server.url}/api/v1/media/{media_id}", headers={"X-User-ID": "ann"})
        assert answer.status_code == 204
        assert [event["kind"] for event in told(stream)] == [*LIFE[:3], "deleted"]
    with listening(server.url, media_id) as stream:
        assert stream.status_code == 404


def test_title_of_another_user_has_no_events(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, user="bob")
    for id_ in (media_id, "0" * 24, "nonsense"):
        with listening(server.url, id_) as stream:
            assert stream.status_code == 404


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "²", "8", "9" * 10, "0x1", "1 2", "+1"])
def test_what_is_not_a_number_of_an_event_is_refused(
    text: str, server: Server, data_dir: Path, description: Description
) -> None:
    media_id = lived(data_dir)
    url = f"{server.url}/api/v1/media/{media_id}/events"
    user = (b"X-User-ID", b"ann")
    for answer in (
        httpx.get(url, headers=[user], params={"after": text}),
        httpx.get(url, headers=[user, (b"Last-Event-ID", text.encode())]),
    ):
        description.check(answer)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in {"after", "Last-Event-ID"}


def test_head_is_answered_without_a_stream(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, LIFE[:3])
    url = f"{server.url}/api/v1/media/{media_id}/events"
    answer = httpx.head(url, headers={"X-User-ID": "ann"})
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_long_log_has_no_gap(server: Server, data_dir: Path) -> None:
    """Longer than a page, and than what is kept for listeners."""
    tries = 40 * (EventKind.QUEUED, EventKind.PROCESSING, EventKind.PROGRESS, EventKind.FAILED)
    kinds = (EventKind.CREATED, *tries[:-1])
    media_id = lived(data_dir, kinds)
    with listening(server.url, media_id) as stream, listening(server.url, media_id, 90) as other:
        goes_on(data_dir, media_id, EventKind.READY)
        assert numbers([*told(stream)]) == [*range(1, len(kinds) + 2)]
        assert numbers([*told(other)]) == [*range(91, len(kinds) + 2)]


def test_listeners_of_a_user_are_bounded(server: Server, data_dir: Path) -> None:
    media_id = lived(data_dir, LIFE[:1], user="crowd")
    with ExitStack() as stack:
        for _ in range(events.MAX_LISTENERS_OF_USER):
            stream = stack.enter_context(listening(server.url, media_id, user="crowd"))
            assert stream.status_code == 200
        with listening(server.url, media_id, user="crowd") as refused:
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
        other = lived(data_dir, user="dora")
        with listening(server.url, other, user="dora") as stream:
            assert len([*told(stream)]) == len(LIFE)

    def is_free() -> bool:
        with listening(server.url, media_id, user="crowd") as stream:
            return stream.status_code == 200

    until(is_free)


@given(noise=st.binary(max_size=40))
def test_header_of_any_bytes_is_answered(noise: bytes, server: Server) -> None:
    head = (
        b"GET /api/v1/media/%b/events HTTP/1.1\r\nHost: x\r\nX-User-ID: ann\r\n"
        b"Connection: close\r\nLast-Event-ID: %b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(head % (b"0" * 24, noise.translate(None, b"\r\n\x00")))
        status = connection.recv(12)
    assert status in (b"HTTP/1.1 404", b"HTTP/1.1 422", b"HTTP/1.1 400")


def test_stream_goes_on_at_another_server(tmp_path: Path) -> None:
    with ready(tmp_path, command="api") as one:
        data = tmp_path / "data"
        media_id = lived(data, LIFE[:2])
        with listening(one.url, media_id) as stream:
            heard = told(stream)
            first = [next(heard), next(heard)]
            one.process.kill()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                next(heard)
    with ready(tmp_path, command="api") as other:
        goes_on(data, media_id, *LIFE[2:])
        with listening(other.url, media_id, first[-1]["number"]) as stream:
            second = [*told(stream)]
    assert [event["kind"] for event in first + second] == list(LIFE)


def test_two_servers_tell_the_same(tmp_path: Path) -> None:
    with ready(tmp_path, command="api") as one, ready(tmp_path, command="api") as other:
        media_id = lived(tmp_path / "data", LIFE[:3])
        with listening(one.url, media_id) as here, listening(other.url, media_id, 1) as there:
            goes_on(tmp_path / "data", media_id, *LIFE[3:])
            assert [event["kind"] for event in told(here)] == list(LIFE)
            assert [event["kind"] for event in told(there)] == list(LIFE[1:])


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    """With an end, so that the client asks again, and without holding up the server."""
    with ready(tmp_path, command="api") as service:
        media_id = lived(tmp_path / "data", LIFE[:3])
        with listening(service.url, media_id) as stream:
            heard = told(stream)
            assert numbers([next(heard) for _ in range(3)]) == [1, 2, 3]
            service.process.send_signal(signal.SIGTERM)
            assert [*heard] == []
        assert service.process.wait(TIMEOUT_S) == 0
        assert "Traceback" not in service.output()
