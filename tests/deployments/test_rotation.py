"""The steps of deployments/rotation.md over real processes: who watches notices nothing."""

import base64
import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments.aws_local.servers import redis
from tests.service import Service, free_port, living, run, started, until

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"
USER = {"X-User-ID": "ann"}
OLD, NEW = "o" * 32, "n" * 32  # of the CDN
KEYS = {name: base64.urlsafe_b64encode(name.encode() * 16).decode() for name in ("old", "new")}


@dataclass
class Viewers:
    """Ask for everything again and again, each time on a new connection."""

    asked: dict[str, dict[str, str]] = field(default_factory=dict)  # URL -> headers
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.gone.is_set():
            for url, headers in list(self.asked.items()):
                try:
                    answer = httpx.get(url, headers=headers)
                except httpx.TransportError as error:
                    self.failures.append(f"{url}: {error!r}")
                    continue
                self.answers[url] += 1
                if answer.status_code != 200 and url in self.asked:
                    self.failures.append(f"{url}: {answer.status_code}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.watch)
        thread.start()
        try:
            yield
        finally:
            self.gone.set()
            thread.join()

    def some_more_come(self) -> None:
        before = Counter(self.answers)
        until(lambda: all(self.answers[url] > before[url] + 1 for url in list(self.asked)))


@dataclass
class Installation:
    folder: Path
    origin: Service
    variables: dict[str, str]

    def configure(self, keys: list[str], secrets: list[str]) -> None:
        write(self.folder, keys, secrets)
        old = self.origin.children()
        self.origin.process.send_signal(signal.SIGHUP)
        until(lambda: living(old) == [])

    def playback_url(self, media_id: str) -> str:
        """From an API that was started with the configuration as it is now."""
        with started(self.folder, command="api", **self.variables) as api:
            until(api.is_ready)
            answer = httpx.get(f"{api.url}/api/v1/media/{media_id}/playback", headers=USER)
            assert api.stop() == 0
        return str(answer.raise_for_status().json()["url"])


def write(folder: Path, keys: list[str], secrets: list[str]) -> None:
    configuration = {
        "signing": {"keys": {name: KEYS[name] for name in keys}},
        "origin": {"secrets": secrets},
    }
    (folder / "config.yaml").write_text(json.dumps(configuration))


def uploaded(folder: Path, variables: dict[str, str]) -> str:
    with started(folder, **variables) as service:
        until(service.is_ready)
        url = f"{service.url}/api/v1"
        file = {"file": ("clip.webm", CLIP.read_bytes())}
        media_id = str(httpx.post(f"{url}/upload", files=file, headers=USER).json()["id"])
        until(
            lambda: httpx.get(f"{url}/media/{media_id}", headers=USER).json()["status"] == "ready"
        )
        service.stop()
    return media_id


def test_playback_goes_on_while_keys_and_secrets_change(tmp_path: Path) -> None:
    port = free_port()
    variables = {
        "STREAM_CONFIG": str(tmp_path / "config.yaml"),
        "STREAM_ORIGIN_PUBLICURL": f"http://127.0.0.1:{port}",
    }
    write(tmp_path, ["old"], [OLD])
    media_id = uploaded(tmp_path, variables)
    at_the_port = variables | {"STREAM_SERVER_PORT": str(port)}
    with started(tmp_path, command="origin", **at_the_port) as service:
        origin = Installation(tmp_path, service, variables)
        until(lambda: answers(port))
        first = origin.playback_url(media_id)
        inside = f"http://127.0.0.1:{port}/v/{first.partition('/v/')[2]}"  # as the CDN asks
        viewers = Viewers({first: {}, inside: {"X-Origin-Verify": OLD}})
        with viewers.watching():
            origin.configure(["old", "new"], [OLD, NEW])  # 1: added
            viewers.some_more_come()
            origin.configure(["new", "old"], [OLD, NEW])  # 2: used
            second = origin.playback_url(media_id)
            viewers.asked |= {second: {}, inside: {"X-Origin-Verify": NEW}}
            viewers.some_more_come()
            del viewers.asked[first]  # expired
            origin.configure(["new"], [NEW])  # 3: dropped
            viewers.some_more_come()
        assert viewers.failures == []
        assert httpx.get(first).status_code == 403
        assert httpx.get(inside, headers={"X-Origin-Verify": OLD}).status_code == 403


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


def test_redis_takes_two_passwords_while_processes_change(tmp_path: Path) -> None:
    with redis(tmp_path / "redis", password="old") as server:

        def acl(change: str, password: str) -> None:
            words = ["redis-cli", "-p", str(server.port), "-a", password, "--no-auth-warning"]
            done = subprocess.run([*words, "ACL", "SETUSER", "default", change], check=True)
            assert done.returncode == 0

        def url(password: str) -> dict[str, str]:
            return {"STREAM_REDIS_URL": f"redis://:{password}@{server.host}:{server.port}"}

        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        with started(tmp_path / "one", command="api", **url("old")) as one:
            until(one.is_ready)
            acl(">new", "old")
            with started(tmp_path / "two", command="api", **url("new")) as two:
                until(two.is_ready)
                assert one.is_ready()
                assert one.stop() == 0
                acl("<old", "new")
                assert two.is_ready()
                late = run(tmp_path, "jobs", **url("old"))
                assert late.returncode == 1
                assert "refuses the user name and password" in late.stderr
                assert two.stop() == 0
