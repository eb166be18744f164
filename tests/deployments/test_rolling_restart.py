"""Every process of an installation is replaced while it is used, behind a plain reverse proxy: the
steps of deployments/upgrade.md."""

import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.aws_local.servers import RedisServer
from tests.service import Service, free_port, living, started, until

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"
USER = {"X-User-ID": "ann"}
CONFIGURATION = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; {user}
events {{ worker_connections 512; }}
http {{
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
  scgi_temp_path t5;
  access_log off; client_max_body_size 0;
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_next_upstream off;  # a request that fails is not hidden by a second one
  {servers}
}}
"""
SERVER = """
  upstream {name} {{ {members} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{name}; }}
  }}
"""


@dataclass
class Proxy:
    """nginx before the processes of each kind."""

    folder: Path
    ports: dict[str, int]
    members: dict[str, list[str]]
    process: "subprocess.Popen[bytes] | None" = None

    def write(self) -> None:
        servers = [
            SERVER.format(
                name=name,
                port=self.ports[name],
                members=" ".join(f"server {member};" for member in members),
            )
            for name, members in self.members.items()
        ]
        user = "user root;" if os.getuid() == 0 else ""
        text = CONFIGURATION.format(user=user, servers="".join(servers))
        (self.folder / "nginx.conf").write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.write()
        program = shutil.which("nginx")
        assert program is not None
        command = [program, "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            until(lambda: all(map(answers, self.ports.values())))
            yield
        finally:
            self.process.terminate()
            self.process.wait(60)

    def use(self, kind: str, *services: Service) -> None:
        """These alone from now on; what is under way at others goes on."""
        assert self.process is not None
        self.members[kind] = [service.url.removeprefix("http://") for service in services]
        self.write()
        old = psutil.Process(self.process.pid).children()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: living(old) == [])


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


@dataclass
class Users:
    """Come anew for every request and try nothing twice."""

    api: str
    playback: str
    outcomes: Counter[str] = field(default_factory=Counter)
    uploaded: list[str] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        self._repeat(lambda: self._count("look", httpx.get(self.api, headers=USER)))

    def play(self) -> None:
        self._repeat(lambda: self._count("play", httpx.get(self.playback)))

    def upload(self) -> None:
        def upload() -> None:
            file = {"file": ("clip.webm", CLIP.read_bytes())}
            answer = httpx.post(f"{self.api}/../upload", files=file, headers=USER, timeout=60)
            self._count("upload", answer)
            self.uploaded.append(answer.json()["id"])
            self.gone.wait(0.5)

        self._repeat(upload)

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self.gone.is_set():
            try:
                act()
            except httpx.HTTPError as error:
                self.outcomes[repr(error)] += 1

    def _count(self, what: str, answer: httpx.Response) -> None:
        answer.raise_for_status()
        self.outcomes[what] += 1

    @contextmanager
    def coming(self) -> Iterator[None]:
        threads = [threading.Thread(target=act) for act in (self.look, self.play, self.upload)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.gone.set()
            for thread in threads:
                thread.join()

    def some_more_come(self) -> None:
        before = Counter(self.outcomes)
        until(lambda: all(self.outcomes[n] > before[n] for n in ("look", "play", "upload")))


def ended(api: str, media_id: str) -> bool:
    return status(api, media_id) in {"ready", "failed"}


def status(api: str, media_id: str) -> str:
    return str(httpx.get(f"{api}/{media_id}", headers=USER).json()["status"])


@pytest.mark.parametrize("each", [1, pytest.param(2, marks=pytest.mark.deploy)])
def test_every_process_is_replaced_without_a_failed_request(
    each: int, tmp_path: Path, redis_server: RedisServer
) -> None:
    ports = {"api": free_port(), "origin": free_port()}
    shared = {
        "STREAM_DATA_DIR": str(tmp_path / "data"),
        "STREAM_REDIS_URL": redis_server.url,
        "STREAM_REDIS_PREFIX": f"rolling-{each}",
        "STREAM_ORIGIN_PUBLICURL": f"http://127.0.0.1:{ports['origin']}",
        "STREAM_FFMPEG_PRESET": "ultrafast",
    }
    proxy = Proxy(tmp_path, ports, {})
    with ExitStack() as stack:

        def start(kind: str, number: int) -> Service:
            folder = tmp_path / f"{kind}-{number}"
            folder.mkdir()
            service = stack.enter_context(started(folder, command=kind, **shared))
            if kind in ports:
                until(service.is_ready)
            return service

        running = {kind: [start(kind, n) for n in range(each)] for kind in (*ports, "worker")}
        for kind in ports:
            members = [service.url.removeprefix("http://") for service in running[kind]]
            proxy.members[kind] = members
        stack.enter_context(proxy.running())
        api = f"http://127.0.0.1:{ports['api']}/api/v1/media"
        file = {"file": ("clip.webm", CLIP.read_bytes())}
        first = httpx.post(f"{api}/../upload", files=file, headers=USER).json()["id"]
        until(lambda: status(api, first) == "ready")
        playback = httpx.get(f"{api}/{first}/playback", headers=USER).json()["url"]

        users = Users(api, playback)
        with users.coming():
            users.some_more_come()
            for kind, services in running.items():
                for place, old in enumerate(list(services)):
                    services[place] = start(kind, each + place)
                    if kind in ports:
                        proxy.use(kind, *services)
                    assert old.stop(signal.SIGTERM) == 0, old.output()
                    users.some_more_come()
        assert set(users.outcomes) == {"look", "play", "upload"}, users.outcomes
        for media_id in users.uploaded:
            until(partial(ended, api, media_id))
            assert status(api, media_id) == "ready"
