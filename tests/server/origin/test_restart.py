"""Origins that are replaced while they are in use."""

import asyncio
import contextlib
import http.client
import signal
from collections.abc import Callable
from pathlib import Path

import httpx

from media.settings import SigningSettings
from server.tokens import issue, load_keys
from stores.objects.filesystem import FilesystemObjects
from tests.server.origin.served import listeners, serving, wait_until
from tests.server.origin.visitors import Visitors
from tests.service import free_port, living, started, until
from tests.service import run as command
from tests.stores.objects.proxy import Status, faulty

BODY = b"segment" * 3000


async def publish(data: Path) -> str:
    objects = FilesystemObjects(data / "objects")
    await objects.put("v/m1/1/a.m4s", BODY)
    await objects.close()
    token = issue(load_keys(SigningSettings(), data), "m1", 4_000_000_000)
    return f"/t/{token}/v/m1/1/a.m4s"


def visited(port: int, path: str, meanwhile: Callable[[Visitors], None]) -> Visitors:
    """By players that stay and by others that come anew for every request."""

    async def visit() -> Visitors:
        visitors = Visitors(port, path, BODY)
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(visitors.visit(requests_per_connection=1 << 30, pause_s=0.01))
            for _ in range(2):
                group.create_task(visitors.visit(requests_per_connection=1, pause_s=0.01))
            await asyncio.to_thread(meanwhile, visitors)
            visitors.leave()
        return visitors

    return asyncio.run(visit())


def some_more_come(visitors: Visitors) -> None:
    enough = visitors.outcomes["answered"] + 500
    until(lambda: visitors.outcomes["answered"] >= enough)


def test_processes_are_replaced_without_losing_a_request(tmp_path: Path) -> None:
    path = asyncio.run(publish(tmp_path / "data"))
    with started(tmp_path, command="origin") as service:
        until(service.is_ready)

        def replace(visitors: Visitors) -> None:
            some_more_come(visitors)
            old = service.children()
            service.process.send_signal(signal.SIGHUP)
            until(lambda: living(old) == [])
            some_more_come(visitors)

        visitors = visited(httpx.URL(service.url).port or 0, path, replace)
        assert set(visitors.outcomes) <= {"answered", "closed"}
        assert visitors.outcomes["closed"] == 0
        assert len(service.children()) == 1


def test_processes_are_replaced_while_the_store_is_away(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    made = command(tmp_path, "doctor", "--create", **aws)
    assert made.returncode == 0, made.stdout
    with faulty(aws["STREAM_AWS_S3ENDPOINT"]) as s3:
        far = aws | {"STREAM_AWS_S3ENDPOINT": s3.endpoint}
        with started(tmp_path, command="origin", **far) as service:
            until(service.is_ready)
            s3.faults = lambda _: Status(403, "AccessDenied")
            old = service.children()
            service.process.send_signal(signal.SIGHUP)
            until(lambda: living(old) == [])
            until(lambda: httpx.get(f"{service.url}/ready").status_code == 503)
            assert httpx.get(f"{service.url}/health").status_code == 200
            s3.faults = lambda _: None
            until(service.is_ready)


def test_new_origin_takes_over_the_port_of_the_old_one(tmp_path: Path) -> None:
    path = asyncio.run(publish(tmp_path / "data"))
    variables = {
        "STREAM_SERVER_PORT": str(free_port()),
        "STREAM_DATA_DIR": str(tmp_path / "data"),
    }
    port = int(variables["STREAM_SERVER_PORT"])
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with (
        started(tmp_path / "old", command="origin", **variables) as old,
        started(tmp_path / "new", command="origin", **variables) as new,
    ):
        until(lambda: listeners(old.process.pid, port))
        until(lambda: listeners(new.process.pid, port))

        def stop_the_old_one(visitors: Visitors) -> None:
            some_more_come(visitors)
            assert old.stop(signal.SIGTERM) == 0
            some_more_come(visitors)

        visitors = visited(port, path, stop_the_old_one)
        assert set(visitors.outcomes) <= {"answered", "closed"}
        assert visitors.outcomes["closed"] == 0


def test_request_under_way_is_answered_before_the_process_ends(tmp_path: Path) -> None:
    with serving("http1", tmp_path) as server:
        path = server.store("720p/late.m4s", BODY)

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            other = http.client.HTTPConnection("127.0.0.1", server.port)
            with contextlib.closing(other), server.holding():
                writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                await asyncio.to_thread(wait_until, lambda: server.reads("720p/late.m4s"), "a read")
                assert not says_goodbye(other)
                server.process.terminate()
                await asyncio.to_thread(wait_until, lambda: says_goodbye(other), "the farewell")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        head, _, body = asyncio.run(ask()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close" in head.lower()
        assert body == BODY
        assert server.process.wait(60) == 0


def says_goodbye(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/t/")
    answer = connection.getresponse()
    answer.read()
    return answer.headers.get("connection") == "close"
