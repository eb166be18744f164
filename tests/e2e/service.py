"""A real `headrace up` on a free port with its own data directory, and a client for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HEADRACE = Path(sys.executable).with_name("headrace")
START_S = 60
STOP_S = 60
TITLE_S = 900


@dataclass(frozen=True)
class Service:
    url: str
    data: Path
    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def upload(self, clip: Path, **fields: str) -> str:
        """The new title's id."""
        with clip.open("rb") as file:
            files = {"file": (clip.name, file)}
            answer = self.client.post("/api/v1/upload", files=files, data=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def title(self, media_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/v1/media/{media_id}")
        assert answer.status_code == 200, answer.text
        title = answer.json()
        assert isinstance(title, dict)
        return title

    def wait(
        self, media_id: str, *, until: str = "status", within_s: float = TITLE_S
    ) -> dict[str, Any]:
        """The title once it is ready or failed, or once it is playable (`until="playable"`)."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            title = self.title(media_id)
            if title["status"] in {"ready", "failed"} or (
                until == "playable" and title["playable"]
            ):
                return title
            time.sleep(0.1)
        raise AssertionError(f"{media_id} is neither ready nor failed: {self.title(media_id)}")

    def playback_url(self, media_id: str) -> str:
        answer = self.client.get(f"/api/v1/media/{media_id}/playback")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"])


@contextmanager
def running_service(data: Path, *, stop: signal.Signals = signal.SIGINT) -> Iterator[Service]:
    """Ends it with `stop` and asserts that it ended well."""
    data.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"STREAM_SERVER_PORT": str(port), "STREAM_DATA_DIR": str(data)}
    log = data / "up.log"
    with log.open("ab") as output:
        process = subprocess.Popen([HEADRACE, "up"], env=environment, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=url, headers={"X-User-ID": "tests"}, timeout=60) as client:
            _wait_until_ready(client, process, log)
            yield Service(url, data, process, client)
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert status == (-stop if stop is signal.SIGKILL else 0), log.read_text()


def _wait_until_ready(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready after {START_S} s:\n{log.read_text()}")
