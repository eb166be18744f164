import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from server.tokens import issue
from stores.objects.filesystem import FilesystemObjects
from tests.server.origin.process import KEYS, ROOT

DEADLINE_S = 30
EXPIRES_AT_S = 4_000_000_000
TOKEN = issue(KEYS, "m1", EXPIRES_AT_S)
SEGMENT = bytes(range(256)) * 8
LARGE = b"large" * 60_000  # more than an eighth of the cache
FINAL = b"#EXTM3U\n#EXT-X-VERSION:6\n" + b"#EXTINF:6.000000,\n00001.m4s\n" * 20
GROWING = FINAL.replace(b"#EXT-X-VERSION:6\n", b"#EXT-X-VERSION:6\n#EXT-X-START:TIME-OFFSET=0\n")
OBJECTS = {
    "index.m3u8": FINAL,
    "growing.m3u8": GROWING,
    "720p/init-1.mp4": b"init",
    "720p/00001-1.m4s": SEGMENT,
    "720p/00002-2.m4s": LARGE,
    "720p/secret.txt": b"not published",
}
CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "content-length, content-range, date, etag",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    root: Path
    process: subprocess.Popen[bytes]

    def ask(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())

    def send(self, head: bytes) -> bytes:
        """Everything that comes back for some raw bytes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as client:
            received = b""
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(head)
                while chunk := client.recv(65536):
                    received += chunk
            return received

    def store(self, name: str, data: bytes) -> str:
        """The path of a new object."""
        asyncio.run(put(self.root, {name: data}))
        return path_of(name)

    def reads(self, name: str) -> int:
        file = self.root / "reads"
        lines = file.read_text().splitlines() if file.exists() else []
        return lines.count(f"v/m1/1/{name}")

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """No read ends meanwhile."""
        file = self.root / "hold"
        file.touch()
        try:
            yield
        finally:
            file.unlink()


def path_of(name: str, token: str = TOKEN) -> str:
    return f"/t/{token}/v/m1/1/{name}"


async def put(root: Path, objects: dict[str, bytes]) -> None:
    store = FilesystemObjects(root / "objects")
    for name, data in objects.items():
        await store.put(f"v/m1/1/{name}", data)
    await store.close()


async def fetch(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_until(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def listeners(pid: int, port: int) -> int:
    """How many of a process's children listen on a port."""
    return sum(
        connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
        for child in psutil.Process(pid).children()
        for connection in child.net_connections()
    )


@contextlib.contextmanager
def serving(shell: str, root: Path, *, workers: int = 1) -> Iterator[Server]:
    """`http1` or `asgi`."""
    port = free_port()
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            _http1(port, workers) if shell == "http1" else _granian(port, workers),
            env={**os.environ, ROOT: str(root)},
            cwd=Path(__file__).parents[3],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def is_listening() -> bool:
        """Every worker, that is: one that still loads may miss the signal to end."""
        assert process.poll() is None, (root / "log").read_text()
        return listeners(process.pid, port) == workers

    try:
        wait_until(is_listening, "the server accepts connections")
        yield Server(port, root, process)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
        assert "Traceback" not in (root / "log").read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _http1(port: int, workers: int) -> list[str]:
    return [sys.executable, "-m", f"{__package__}.process", str(port), str(workers)]


def _granian(port: int, workers: int) -> list[str]:
    command = [str(Path(sys.executable).with_name("granian")), f"{__package__}.process:asgi"]
    command += ["--workers", str(workers), "--interface", "asgi", "--port", str(port)]
    command += ["--http", "1", "--no-ws", "--loop", "uvloop", "--http1-buffer-size", "65536"]
    return [*command, "--factory"]
