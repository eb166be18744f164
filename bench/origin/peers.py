"""The servers, each with its processes on one core and a cache or page cache that holds all."""

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.origin.titles import Library, media_id_of
from media.settings import SigningSettings
from server.tokens import issue, load_keys

SERVER_CORE = 0
START_S = 20
EXPIRES_AT_S = 4_000_000_000
SECRET = "a secret that only nginx knows"
IMMUTABLE = "public, max-age=31536000, immutable"

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
  open_file_cache max=100000 inactive=1h; open_file_cache_valid 1h;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 mp4; video/iso.segment m4s; }}
  gzip_static on; root {objects};
  {paths}
  add_header cache-control "{immutable}";
  add_header access-control-allow-origin "*";
  add_header access-control-expose-headers "content-length, content-range, date, etag";
  server {{
    listen 127.0.0.1:{port} reuseport;
    location /v/ {{
      secure_link $arg_md5,$arg_expires;
      secure_link_md5 "$secure_link_expires$uri {secret}";
      if ($secure_link = "") {{ return 403; }}
      if ($secure_link = "0") {{ return 410; }}
    }}
  }}
  server {{ listen 127.0.0.1:{open_port}; location /v/ {{ }} }}
}}
"""
NGINX_PATHS = " ".join(
    f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
VARNISH = """
vcl 4.1;
backend files {{ .host = "127.0.0.1"; .port = "{port}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1d; }}
"""


@dataclass(frozen=True)
class Peer:
    pid: int
    url: str
    path: Callable[[str], str]  # of a key


@contextmanager
def headrace(library: Library, folder: Path) -> Iterator[Peer]:
    """`headrace origin`, with the token that its players would have."""
    port = free_port()
    settings = {
        "STREAM_SERVER_PORT": str(port),
        "STREAM_DATA_DIR": str(library.data),
        "STREAM_ORIGIN_CACHE": str(2 * library.bytes + (64 << 20)),
    }
    command = [str(Path(sys.executable).with_name("headrace")), "origin"]
    keys = load_keys(SigningSettings(), library.data)
    tokens: dict[str, str] = {}

    def path(key: str) -> str:
        media_id = media_id_of(key)
        token = tokens.setdefault(media_id, issue(keys, media_id, EXPIRES_AT_S))
        return f"/t/{token}/{key}"

    with running(command, port, folder, settings) as pid:
        yield Peer(pid, f"http://127.0.0.1:{port}", path)


@contextmanager
def nginx(library: Library, folder: Path) -> Iterator[Peer]:
    """sendfile, open_file_cache and secure_link."""
    with _nginx(library, folder) as (pid, port, _):
        yield Peer(pid, f"http://127.0.0.1:{port}", secure_link)


@contextmanager
def varnish(library: Library, folder: Path) -> Iterator[Peer]:
    """Everything from its memory, no token."""
    files = folder / "files"
    files.mkdir()
    with _nginx(library, files) as (_, _, backend):
        port, vcl = free_port(), folder / "cache.vcl"
        vcl.write_text(VARNISH.format(port=backend))
        command = [
            "varnishd",
            "-j",
            "none",
            "-F",
            "-n",
            str(folder / "varnish"),
            "-a",
            f"127.0.0.1:{port}",
        ]
        command += ["-f", str(vcl), "-s", f"malloc,{2 * library.bytes + (64 << 20)}"]
        command += ["-p", "thread_pools=1"]
        with running(command, port, folder) as pid:
            yield Peer(pid, f"http://127.0.0.1:{port}", lambda key: f"/{key}")


@contextmanager
def static_files(library: Library, folder: Path) -> Iterator[Peer]:
    """uvicorn and Starlette's StaticFiles, no token."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "bench.origin.static:application"]
    command += ["--port", str(port), "--no-access-log", "--loop", "uvloop"]
    objects = {"BENCH_OBJECTS": str(library.data / "objects")}
    with running(command, port, folder, objects) as pid:
        yield Peer(pid, f"http://127.0.0.1:{port}", lambda key: f"/{key}")


PEERS = {
    "headrace": headrace,
    "nginx secure_link": nginx,
    "varnish": varnish,
    "uvicorn StaticFiles": static_files,
}


def secure_link(key: str) -> str:
    text = f"{EXPIRES_AT_S}/{key} {SECRET}".encode()
    digest = base64.urlsafe_b64encode(hashlib.md5(text, usedforsecurity=False).digest())
    return f"/{key}?md5={digest.rstrip(b'=').decode()}&expires={EXPIRES_AT_S}"


@contextmanager
def _nginx(library: Library, folder: Path) -> Iterator[tuple[int, int, int]]:
    port, open_port = free_port(), free_port()
    (folder / "nginx.conf").write_text(
        NGINX.format(
            user="user root;" if os.getuid() == 0 else "",
            objects=library.data / "objects",
            paths=NGINX_PATHS,
            immutable=IMMUTABLE,
            secret=SECRET,
            port=port,
            open_port=open_port,
        )
    )
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with running(command, port, folder) as pid:
        yield pid, port, open_port


@contextmanager
def running(
    command: list[str], port: int, folder: Path, settings: dict[str, str] | None = None
) -> Iterator[int]:
    """The process id of a server on its own core, once it accepts connections."""
    program = shutil.which(command[0])
    if program is None:
        sys.exit(f"{command[0]} is not installed: make bench-origin installs it")
    command = ["taskset", "-c", str(SERVER_CORE), program, *command[1:]]
    with (folder / f"{Path(program).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | (settings or {}), stdout=log, stderr=log
        )
    try:
        _wait_until_accepting(process, port, Path(log.name))
        yield process.pid
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_until_accepting(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"{process.args!r} did not start:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
