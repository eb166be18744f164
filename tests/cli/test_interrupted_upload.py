"""A server that ends in the middle of an upload, in every way it can."""

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from media.asset import Asset, Status
from stores.catalog.sqlite import SqliteCatalog
from tests.service import Service, ready, until

USER = {"X-User-ID": "u"}
STAGED_BYTES = 2 << 20  # more than waits in memory before it is written
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + bytes(
    STAGED_BYTES
)


@contextmanager
def half_sent(service: Service, method: str, target: str, body: bytes) -> Iterator[socket.socket]:
    """With the first bytes on the server's disk."""
    url = httpx.URL(service.url)
    lines = (
        f"{method} {target} HTTP/1.1",
        f"Host: {url.host}:{url.port}",
        f"X-User-ID: {USER['X-User-ID']}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {10 * len(body)}",
    )
    head = "\r\n".join((*lines, "", ""))
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        until(lambda: sum(path.stat().st_size for path in staged(service)) > 0)
        yield connection


def staged(service: Service) -> list[Path]:
    return list((service.directory / "data" / "objects" / ".tmp").iterdir())


def records(service: Service, expire: bool = False) -> list[Asset]:
    """All that are uploading; with `expire`, their uploader is taken to be gone from now on."""

    async def look() -> list[Asset]:
        catalog = SqliteCatalog(service.directory / "data" / "catalog.sqlite3")
        try:
            found = await catalog.list_by_status([Status.UPLOADING])
            for asset in found if expire else ():
                await catalog.update(asset.id, {"upload_expires_at_ms": 0})
            return [*found]
        finally:
            await catalog.close()

    return asyncio.run(look())


def kill(process: psutil.Process | None) -> None:
    assert process is not None
    for each in (process, *process.children(recursive=True)):
        each.kill()


def presigned_target(service: Service) -> str:
    answer = httpx.post(
        f"{service.url}/api/v1/upload/presign", json={"filename": "a"}, headers=USER
    )
    return httpx.URL(answer.json()["url"]).raw_path.decode()


def problem(answer: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_upload_is_refused_when_the_service_stops(tmp_path: Path, number: signal.Signals) -> None:
    with ready(tmp_path) as service:
        with half_sent(service, "POST", "/api/v1/upload", FORM) as connection:
            assert service.stop(number) == 0, service.output()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert problem(answer)["type"] == "urn:headrace:problem:server-stopping"
        assert (staged(service), records(service)) == ([], [])


def test_put_is_refused_when_the_service_stops(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        target = presigned_target(service)
        with half_sent(service, "PUT", target, bytes(STAGED_BYTES)) as connection:
            assert service.stop() == 0, service.output()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert problem(answer)["type"] == "urn:headrace:problem:server-stopping"
        assert staged(service) == []
        assert len(records(service)) == 1  # its URL holds after the restart too


def test_upload_of_a_server_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        with half_sent(service, "POST", "/api/v1/upload", FORM):
            kill(service.child("serve"))
        until(service.is_ready)
        (record,) = records(service, expire=True)
        kill(service.child("worker"))  # the next one looks at its start, not in a minute
        until(lambda: records(service) == [] and staged(service) == [])
        listed = httpx.get(f"{service.url}/api/v1/media", headers=USER).json()
        assert listed["items"] == [], record
