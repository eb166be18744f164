"""What one api, one origin and one worker process use: `python -m bench.footprint CLIP`.

The resource requests in deployments/kubernetes come from here. S3, DynamoDB and Redis are started
on this machine, and each process of the service runs on them alone, as in its container; a clip is
uploaded, encoded in one task at a time, and then read over many connections. Memory is the
proportional set size of a process and all below it, which counts once what the worker's children
share: nearly what a control group is charged, without the page cache.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil

from deployments.aws_local.estate import running_estate
from deployments.aws_local.servers import free_block, free_port
from stores.processes import die_with_parent

COMMAND = (sys.executable, "-P", "-m", "cli.main")
SAMPLE_S = 0.25
PATIENCE_S = 900
ESTATE_PORTS = 7
IDLE_S = 5
READ_S = 10
UPLOAD = "/api/v1/upload"
MEDIA = "/api/v1/media"
CONNECTIONS = 64
MIB = 1 << 20


class Part:
    """One process of the service, and what it used while it was watched."""

    def __init__(self, role: str, environment: dict[str, str], directory: Path) -> None:
        self.role = role
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        directory.mkdir()
        with (directory / "log").open("wb") as log:
            started = subprocess.Popen(
                [*COMMAND, role],
                cwd=directory,
                env=os.environ
                | environment
                | {
                    "STREAM_DATA_DIR": str(directory),
                    "STREAM_SERVER_PORT": str(port),
                    "STREAM_WORKER_CONCURRENCY": "1",
                },
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        self.started = started
        self._process = psutil.Process(started.pid)
        self._cpu_s: dict[int, float] = {}  # by process id, of those that ended, too
        self._peak_bytes = 0
        self.begin()

    def begin(self) -> None:
        self.sample()
        self._peak_bytes, self._cpu_before_s, self._since_s = 0, self._cpu(), time.monotonic()

    def sample(self) -> None:
        used = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                used += process.memory_full_info().pss
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._cpu_s[process.pid] = times.user + times.system
        self._peak_bytes = max(self._peak_bytes, used)

    def _cpu(self) -> float:
        return sum(self._cpu_s.values())

    def report(self, doing: str) -> None:
        self.sample()
        cores = (self._cpu() - self._cpu_before_s) / (time.monotonic() - self._since_s)
        print(f"{self.role:7}{doing:34}{self._peak_bytes / MIB:6.0f} MiB at most{cores:7.2f} cores")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.footprint")
    parser.add_argument("clip", type=Path)
    clip = parser.parse_args().clip
    with tempfile.TemporaryDirectory() as name, _installation(Path(name)) as parts:
        api, origin, worker = parts
        _watch(parts, "nothing", _after(IDLE_S))
        with httpx.Client(base_url=api.url, headers={"X-User-ID": "footprint"}) as client:
            with clip.open("rb") as file:
                sent = client.post(UPLOAD, files={"file": file}, timeout=PATIENCE_S)
            media = f"{MEDIA}/{sent.raise_for_status().json()['id']}"
            _watch([api, worker], "encoding, one task at a time", partial(_is_ready, client, media))
            for url, size in _objects(client, media, origin):
                _watch([origin], f"{CONNECTIONS} readers of {size} bytes", _ended(_readers(url)))


@contextmanager
def _installation(directory: Path) -> Iterator[list[Part]]:
    with ExitStack() as stack:
        estate = running_estate(directory / "estate", first_port=free_block(ESTATE_PORTS))
        environment = stack.enter_context(estate)
        subprocess.run([*COMMAND, "doctor", "--create"], env=os.environ | environment, check=True)
        parts = []
        for role in ("api", "origin", "worker"):
            parts.append(Part(role, environment, directory / role))
            stack.callback(parts[-1].started.wait)
            stack.callback(parts[-1].started.terminate)
        for part in parts[:2]:
            _until(partial(_answers, part))
        yield parts


def _watch(parts: list[Part], doing: str, is_done: Callable[[], bool]) -> None:
    for part in parts:
        part.begin()

    def look() -> bool:
        for part in parts:
            part.sample()
        return is_done()

    _until(look)
    for part in parts:
        part.report(doing)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit("footprint: gave up waiting")
        time.sleep(SAMPLE_S)


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _ended(process: "subprocess.Popen[bytes]") -> Callable[[], bool]:
    return lambda: process.poll() is not None


def _answers(part: Part) -> bool:
    try:
        return httpx.get(f"{part.url}/ready").is_success
    except httpx.TransportError:
        return False


def _readers(url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{READ_S}s", url],
        stdout=subprocess.DEVNULL,
    )


def _is_ready(client: httpx.Client, path: str) -> bool:
    media = client.get(path).raise_for_status().json()
    if media["status"] == "failed":
        sys.exit(f"footprint: {media['error']}")
    return bool(media["status"] == "ready")


def _objects(client: httpx.Client, path: str, origin: Part) -> Iterator[tuple[str, int]]:
    """A playlist and a segment, as the origin has them."""
    playback = client.get(f"{path}/playback").raise_for_status().json()
    index = httpx.URL(origin.url).join(httpx.URL(playback["url"]).raw_path.decode())
    playlist = index.join(_uris(httpx.get(index).text)[0])
    segment = playlist.join(_uris(httpx.get(playlist).text)[0])
    for url in (playlist, segment):
        yield str(url), len(httpx.get(url).raise_for_status().content)


def _uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


if __name__ == "__main__":
    main()
