"""Connections of the origin's own HTTP server, byte by byte."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from native.connection import MAX_HEAD_BYTES
from tests.server.origin.served import (
    DEADLINE_S,
    FINAL,
    LARGE,
    OBJECTS,
    SEGMENT,
    Server,
    path_of,
    put,
    serving,
    wait_until,
)

HIT, OTHER = "index.m3u8", "720p/00001-1.m4s"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("connection")
    asyncio.run(put(root, OBJECTS))
    with serving("http1", root) as server:
        yield server


def head(name: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path_of(name)} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


LAST = head(HIT, "Connection: close")


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each; every one of them tells its length."""
    found = []
    while received:
        lines, _, received = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", lines)
        size = int(length[1]) if length else 0
        found.append((int(lines.split()[1]), received[:size]))
        received = received[size:]
    return found


def test_requests_that_come_at_once_are_answered_in_their_order(server: Server) -> None:
    cold = server.store("720p/cold.m4s", b"cold").rpartition("/1/")[2]
    sent = [HIT, cold, OTHER, "none.m3u8", HIT]
    received = server.send(b"".join(map(head, sent)) + LAST)
    bodies = [(200, FINAL), (200, b"cold"), (200, SEGMENT), (404, None), (200, FINAL), (200, FINAL)]
    found = answers(received)
    assert [status for status, _ in found] == [status for status, _ in bodies]
    assert all(
        body == expected or expected is None
        for (_, body), (_, expected) in zip(found, bodies, strict=True)
    )


def test_request_may_come_byte_by_byte_and_behind_an_empty_line(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"\r\n" + LAST:
            client.send(bytes([byte]))
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers(received) == [(200, FINAL)]


@pytest.mark.parametrize(
    "last",
    [
        LAST,
        head(HIT, "Content-Length: 3"),
        head(HIT, "Transfer-Encoding: chunked"),
        head(HIT).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_nothing_is_answered_behind_the_last_request(server: Server, last: bytes) -> None:
    received = server.send(last + head(OTHER) * 3)
    assert answers(received) == [(200, FINAL)]
    assert received.lower().count(b"\r\nconnection: close\r\n") == 1


def test_upload_is_told_what_it_did_wrong(server: Server) -> None:
    post = head(HIT, "Content-Length: 1000000", method="POST")
    ((status, body),) = answers(server.send(post + bytes(1_000_000)))
    assert (status, body[:4]) == (405, b"only")


def test_head_may_be_so_large(server: Server) -> None:
    empty = head(HIT, "Connection: close", "X: ")
    for size, status in ((MAX_HEAD_BYTES, 200), (MAX_HEAD_BYTES + 1, 431)):
        whole = empty[:-4] + b"a" * (size - len(empty)) + empty[-4:]
        assert [found for found, _ in answers(server.send(whole))] == [status]
    assert server.send(b"GET /" + b"a" * MAX_HEAD_BYTES * 2).startswith(b"HTTP/1.1 431 ")


def test_client_that_has_closed_its_side_is_answered(server: Server) -> None:
    cold = server.store("720p/half.m4s", b"half").rpartition("/1/")[2]
    for name, body in ((HIT, FINAL), (cold, b"half"), ("720p/00002-2.m4s", LARGE)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
            client.sendall(head(name))
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.recv(65536), b""))
        assert answers(received) == [(200, body)]


def test_client_that_goes_while_its_object_is_read_harms_nobody(server: Server) -> None:
    path = server.store("720p/gone.m4s", b"gone")
    with server.holding():
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert server.ask(path).body == b"gone"


@pytest.mark.parametrize("says_more", [True, False], ids=["says more", "closes its side"])
def test_connection_ends_with_a_client_that_had_to_wait(server: Server, says_more: bool) -> None:
    name = f"720p/wait-{says_more}.m4s"
    server.store(name, b"late")
    (worker,) = psutil.Process(server.process.pid).children()
    before = worker.num_fds()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        with server.holding():
            client.sendall(head(name, "Connection: close"))
            wait_until(lambda: server.reads(name), "a read")
            if says_more:
                client.sendall(head(HIT) * 2)
            else:
                client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers(received) == [(200, b"late")]
    wait_until(lambda: worker.num_fds() <= before, "the connection is closed")


def test_large_answers_wait_for_a_slow_client(tmp_path: Path) -> None:
    body = bytes(range(256)) * 40_000  # more than a cache or a socket holds
    with serving("http1", tmp_path) as server:
        server.store("720p/large.m4s", body)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.settimeout(DEADLINE_S)
            client.connect(("127.0.0.1", server.port))
            client.sendall(head("720p/large.m4s") * 3 + LAST.replace(HIT.encode(), b"none.m3u8"))
            received = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers(received)[:3] == [(200, body)] * 3
    assert len(answers(received)) == 4


def test_answer_tells_the_date(server: Server) -> None:
    date = server.ask(path_of(HIT)).headers["date"]
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
