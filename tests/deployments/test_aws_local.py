import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from deployments.aws_local import servers
from tests.service import living, until

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests" / "media" / "odd-161x121-vp9.webm"
USER = {"X-User-ID": "local"}
PORTS = 7


class Estate:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def output(self) -> str:
        assert self._process.poll() is None, self._log.read_text()
        return self._log.read_text()

    def stop(self) -> list[psutil.Process]:
        """What is left of it."""
        started = psutil.Process(self._process.pid).children(recursive=True)
        assert len(started) >= 8  # three servers, up and what it starts, the other worker
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(60) == 0, self._log.read_text()
        return living(started)


@contextmanager
def running(directory: Path, port: int, *arguments: str) -> Iterator[Estate]:
    log = directory / "output"
    first_port = str(servers.free_block(PORTS))
    command = [sys.executable, "-m", "deployments.aws_local", "--data", str(directory / "data")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--first-port", first_port, *arguments],
            cwd=ROOT,
            env=os.environ | {"STREAM_SERVER_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with process:
        try:
            yield Estate(process, log)
        finally:
            process.kill()


def test_it_uploads_a_clip_stops_with_all_and_has_it_at_the_next_start(tmp_path: Path) -> None:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"
    with running(tmp_path, port, "--upload", str(CLIP)) as estate:
        until(lambda: "play it: " in estate.output())
        assert "made bucket headrace-raw" in estate.output()
        playback = estate.output().partition("play it: ")[2].split()[0]
        playlist = httpx.get(playback).text
        assert "<html" in httpx.get(url).text
        assert estate.stop() == []
    with running(tmp_path, port) as estate:
        until(lambda: "Headrace is running" in estate.output())
        (title,) = httpx.get(f"{url}/api/v1/media", headers=USER).json()["items"]
        assert title["status"] == "ready"
        assert httpx.get(playback).text == playlist
        assert estate.stop() == []
