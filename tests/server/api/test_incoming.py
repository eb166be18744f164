"""Bodies that stop, drip, or never end, over a bare socket."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.server.api.forms import CONTENT_TYPE, file_part, form
from tests.server.api.service import Server, client_of, description_of, running_server

WAIT_S = 10
LARGE_BYTES = 512 << 20
MEMORY_GROWTH_BYTES = 16 << 20


@contextmanager
def upload_head(server: Server, user: str, length: int, **headers: str) -> Iterator[socket.socket]:
    """A connection on which an upload of `length` bytes has begun."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nX-User-ID: {user}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n"
            f"{more}Connection: close\r\n\r\n"
        )
        connection.sendall(head.encode())
        yield connection


def user_of(client: httpx.Client) -> str:
    return client.headers["X-User-ID"]


def titles(client: httpx.Client) -> list[str]:
    return [item["status"] for item in client.get("/api/v1/media").json()["items"]]


def wait_for_titles(client: httpx.Client, expected: list[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while titles(client) != expected:
        assert time.monotonic() < deadline, titles(client)
        time.sleep(0.02)


def response_of(connection: socket.socket) -> tuple[int, dict[str, object]]:
    head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.usefixtures("nothing_left")
def test_client_that_goes_away_leaves_nothing(server: Server, client: httpx.Client) -> None:
    with upload_head(server, user_of(client), 900_000) as connection:
        connection.sendall(file_part(b"x" * 300_000)[:-2])
        wait_for_titles(client, ["uploading"])
    wait_for_titles(client, [])


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("hasty"), readtimeout="1s") as server:
        yield server


def assert_nothing_is_left(server: Server, user: str) -> None:
    answer = httpx.get(f"{server.url}/api/v1/media", headers={"X-User-ID": user})
    assert answer.json()["items"] == []
    assert server.objects() == set()


def test_silent_client_is_told_so(hasty_server: Server) -> None:
    with upload_head(hasty_server, "silent", 900_000) as connection:
        connection.sendall(file_part(b"x" * 300_000)[:-2])
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (408, "urn:headrace:problem:body-timeout")
    assert "fewer than 65536 came within 1 s" in str(problem["detail"])
    assert_nothing_is_left(hasty_server, "silent")


def test_dripping_client_is_told_so(hasty_server: Server) -> None:
    """Every byte comes well within the time for silence; all of them together do not."""
    with upload_head(hasty_server, "dripping", 900_000) as connection:
        connection.settimeout(0.1)
        connection.sendall(file_part(b"")[:-2])
        answer = b""
        deadline = time.monotonic() + WAIT_S
        while not answer and time.monotonic() < deadline:
            connection.sendall(b"x")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert_nothing_is_left(hasty_server, "dripping")


def test_json_that_stops_is_told_so_before_the_answer_is_late(tmp_path: Path) -> None:
    head = (
        "POST /api/v1/upload/presign HTTP/1.1\r\nHost: localhost\r\nX-User-ID: u\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n"
    )
    with (
        running_server(tmp_path, writetimeout="1s") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection,
    ):
        connection.sendall(head.encode() + b"{")
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (408, "urn:headrace:problem:body-timeout")


@pytest.mark.usefixtures("nothing_left")
def test_too_large_upload_is_refused_before_its_end(server: Server, client: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
        head = (
            f"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nX-User-ID: {user_of(client)}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        for data in (file_part(b"")[:-2], b"x" * 1_000_001):
            connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (413, "urn:headrace:problem:too-large")


@pytest.mark.usefixtures("nothing_left")
def test_refusal_reaches_a_client_that_sends_everything_before_it_reads(
    server: Server, client: httpx.Client
) -> None:
    length = 40 << 20
    with upload_head(server, user_of(client), length) as connection:
        connection.sendall(b"x" * length)
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (413, "urn:headrace:problem:too-large")


def test_refusal_does_not_ask_for_a_body_that_waits_to_be_asked(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
        connection.sendall(
            b"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (401, "urn:headrace:problem:user-missing")


def test_title_deleted_while_it_is_uploaded_leaves_nothing(
    server: Server, client: httpx.Client
) -> None:
    before = server.objects()
    body = form([file_part(b"x" * 300_000)])
    with upload_head(server, user_of(client), len(body)) as connection:
        connection.sendall(body[:200_000])
        wait_for_titles(client, ["uploading"])
        media = client.get("/api/v1/media").json()["items"][0]
        assert client.delete(f"/api/v1/media/{media['id']}").status_code == 204
        connection.sendall(body[200_000:])
        status, problem = response_of(connection)
    assert (status, problem["type"]) == (409, "urn:headrace:problem:conflict")
    assert titles(client) == []
    assert server.objects() == before


def test_large_upload_does_not_grow_the_process(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, client_of(server, description_of(server)) as client:
        (worker,) = psutil.Process(server.process.pid).children()
        client.post("/api/v1/upload", files={"file": b"x" * (8 << 20)}).raise_for_status()
        before = peak = worker.memory_info().rss
        block = b"\x00" * (4 << 20)
        first, last = file_part(b"")[:-2], b"\r\n" + form([])
        length = len(first) + LARGE_BYTES + len(last)
        with upload_head(server, user_of(client), length) as connection:
            connection.sendall(first)
            for _ in range(LARGE_BYTES // len(block)):
                connection.sendall(block)
                peak = max(peak, worker.memory_info().rss)
            connection.sendall(last)
            status, media = response_of(connection)
        assert (status, media["status"]) == (201, "queued")
        assert peak - before < MEMORY_GROWTH_BYTES, f"grew by {(peak - before) / 1e6:.1f} MB"
