"""The API in a real server process with real stores, and a client that checks what it says."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx

from tests.server.api.description import Description
from tests.server.api.serve import PAGE, SETTINGS

ROOT = Path(__file__).parents[3]
START_S = 30
STOP_S = 30


@dataclass(frozen=True)
class Server:
    port: int
    data: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def objects(self) -> set[str]:
        """Every file of the object store, those on their way in included."""
        root = self.data / "objects"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@contextmanager
def running_server(
    folder: Path,
    *,
    page: Path | None = None,
    app: dict[str, str] | None = None,
    others: dict[str, dict[str, str]] | None = None,
    **server_settings: object,
) -> Iterator[Server]:
    """Ends well, or the test fails."""
    data = {"dir": str(folder / "var")}
    settings = {"app": app or {}, "data": data, "server": server_settings, **(others or {})}
    port = _free_port()
    environment = os.environ | {SETTINGS: json.dumps(settings)}
    if page is not None:
        environment[PAGE] = str(page)
    command = [sys.executable, "-m", "tests.server.api.serve", str(port)]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, port, log)
        yield Server(port, folder / "var", process)
    finally:
        process.terminate()
        status = process.wait(STOP_S)
    assert (status, "Traceback" in log.read_text()) == (0, False), log.read_text()


def player_page(folder: Path) -> Path:
    """What the build of the player makes, in small."""
    page = folder / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<title>player</title>")
    (page / "assets" / "main.js").write_text("// player")
    return page


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not become ready:\n{log.read_text()}")


def client_of(server: Server, description: Description, user: str | None = None) -> httpx.Client:
    """Each of its responses is validated against the server's own OpenAPI description."""
    return httpx.Client(
        base_url=server.url,
        headers={"X-User-ID": user or f"user-{uuid4()}"},
        event_hooks={"response": [description.check]},
        timeout=30,
    )


def description_of(server: Server) -> Description:
    return Description(json.loads(httpx.get(f"{server.url}/openapi.json").text))


def metric(text: str, name: str) -> float:
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert match is not None, f"{name} is not in\n{text}"
    return float(match[1])
