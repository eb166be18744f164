import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from media.settings import SigningSettings
from server.origin.slow_readers import LEAST_BYTES, SlowReaders
from server.tokens import issue, load_keys
from stores.objects.filesystem import FilesystemObjects
from tests.service import Service, started, until

READERS = 200
BODY = bytes(4_000_000)  # more than the kernel takes off the server's hands


@contextmanager
def connected() -> Iterator[tuple[SlowReaders, socket.socket, socket.socket]]:
    """What looks at them, the server's end and the client's."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        server = stack.enter_context(listener.accept()[0])
        server.setblocking(False)
        yield SlowReaders(listener.getsockname()[1], 60), server, client


def fill(server: socket.socket) -> int:
    """Everything that the kernel takes without the client's help."""
    sent = 0
    try:
        while True:
            sent += server.send(bytes(1 << 20))
    except BlockingIOError:
        return sent


def take(client: socket.socket, count: int) -> None:
    while count:
        count -= len(client.recv(min(count, 1 << 20)))


def is_open(server: socket.socket) -> bool:
    try:
        return server.recv(1) != b""
    except BlockingIOError:
        return True


def test_client_that_takes_nothing_is_cut_at_the_second_look() -> None:
    with connected() as (slow_readers, server, _):
        fill(server)
        slow_readers.look()
        assert is_open(server)
        slow_readers.look()
        assert (slow_readers.cut, is_open(server)) == (1, False)


def test_client_that_takes_enough_is_not_cut() -> None:
    with connected() as (slow_readers, server, client):
        fill(server)
        for _ in range(4):
            slow_readers.look()
            take(client, 20 * LEAST_BYTES)  # the kernel tells of room in larger steps
            fill(server)
        assert (slow_readers.cut, is_open(server)) == (0, True)


def test_client_that_takes_the_little_there_is_is_not_cut() -> None:
    with connected() as (slow_readers, server, client):
        for _ in range(4):
            server.send(b"event")
            slow_readers.look()
            take(client, len(b"event"))
        assert (slow_readers.cut, is_open(server)) == (0, True)


def test_idle_connections_and_those_of_other_ports_are_left_alone() -> None:
    with connected() as (_, other, _), connected() as (slow_readers, idle, _):
        fill(other)
        for _ in range(3):
            slow_readers.look()
        assert (slow_readers.cut, is_open(idle), is_open(other)) == (0, True, True)


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=60)


def slow_reader(service: Service, path: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", httpx.URL(service.url).port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


def counter(service: Service, name: str) -> float:
    lines = get(f"{service.url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"headrace_origin_cache_{name}_total{{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def publish(data: Path) -> str:
    objects = FilesystemObjects(data / "objects")
    await objects.put("v/m1/1/a.m4s", BODY)
    await objects.close()
    token = issue(load_keys(SigningSettings(), data), "m1", 4_000_000_000)
    return f"/t/{token}/v/m1/1/a.m4s"


def test_slow_readers_starve_nobody_share_a_body_and_are_cut(tmp_path: Path) -> None:
    path = asyncio.run(publish(tmp_path / "data"))
    with (
        started(tmp_path, command="origin", STREAM_SERVER_READTIMEOUT="3s") as service,
        ExitStack() as stack,
    ):
        until(service.is_ready)
        assert get(service.url + path).content == BODY
        (worker,) = (psutil.Process(child.pid) for child in service.children())
        before = worker.memory_info().rss
        for _ in range(READERS):
            stack.enter_context(slow_reader(service, path))
        until(lambda: counter(service, "hits") >= READERS)
        assert worker.memory_info().rss - before < 10 * len(BODY)
        for _ in range(5):
            assert get(service.url + path).content == BODY
        until(lambda: counter(service, "slow_readers") == READERS)
        assert get(service.url + path).content == BODY


def test_idle_connections_give_way_to_others(tmp_path: Path) -> None:
    variables = {"STREAM_SERVER_READTIMEOUT": "1s", "STREAM_SERVER_CONNECTIONS": "4"}
    with started(tmp_path, command="origin", **variables) as service, ExitStack() as stack:
        until(service.is_ready)
        address = ("127.0.0.1", httpx.URL(service.url).port or 0)
        for _ in range(8):  # as many as there may be, and as many that wait for a place
            stack.enter_context(socket.create_connection(address))
        assert get(f"{service.url}/health").is_success
