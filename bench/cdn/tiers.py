"""The processes: `headrace origin`, a shield and two points of presence, each nginx its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.origin.peers import free_port
from server.tokens import TokenKeys

NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
FUNCTION = Path(__file__).parents[2] / "deployments/cloudfront/viewer-request.js"
START_S = 20
STOP_S = 20
EDGES = 2
HOST = "media.example"
SECRET = "two-tier-proof-secret-0123456789abcdef"
KEYS = TokenKeys({"cdn": b"a secret of the two-tier proof!!"})

KEY_VALUE_STORE = """
var stored = %s;
export default {
    kvs: function() {
        return {
            get: async function(key) {
                if (!(key in stored)) { throw new Error('KeyNotFound'); }
                return stored[key];
            }
        };
    }
};
"""


@dataclass(frozen=True, slots=True)
class Counts:
    requests: int  # that came to the cache: not those that the function answered itself
    hits: int  # answered without asking the next tier
    refused: int  # by the function, or by the origin

    @property
    def misses(self) -> int:
        return self.requests - self.hits

    @property
    def hit_ratio(self) -> float:
        return self.hits / self.requests if self.requests else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests + other.requests, self.hits + other.hits, self.refused + other.refused
        )

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            self.requests - other.requests, self.hits - other.hits, self.refused - other.refused
        )


@dataclass(frozen=True)
class Cache:
    """One nginx."""

    port: int
    folder: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """Of everything that was answered: its one worker writes the log before it turns to the
        request that is sent here."""
        self.http.get(f"{self.url}/done").raise_for_status()
        requests = hits = refused = 0
        log = self.folder / "requests.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            status, cached, asked = line.split(maxsplit=2)
            refused += status == "403"
            if cached != "-":
                requests += 1
                hits += asked == "-"
        return Counts(requests, hits, refused)

    def files(self) -> int:
        """Objects in the cache."""
        cache = self.folder / "cache"
        return sum(path.is_file() for path in cache.rglob("*"))

    def busy(self) -> int:
        """Requests being answered, but for the one that asks."""
        status = self.http.get(f"{self.url}/busy").text.split()
        return int(status[status.index("Writing:") + 1]) - 1


@dataclass(frozen=True)
class Tiers:
    data: Path  # of the origin
    edges: list[Cache]
    shield: Cache
    origin_url: str
    origin_pid: int
    http: httpx.Client

    def counts(self) -> dict[str, Counts]:
        edges = [edge.counts() for edge in self.edges]
        return {"edges": sum(edges[1:], edges[0]), "shield": self.shield.counts()}

    @contextmanager
    def origin_held(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        os.killpg(self.origin_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.origin_pid, signal.SIGCONT)


@contextmanager
def tiers(folder: Path) -> Iterator[Tiers]:
    with ExitStack() as stack:
        http = stack.enter_context(httpx.Client())
        data = folder / "origin"
        data.mkdir()
        port = free_port()
        pid = stack.enter_context(_origin(data, port))
        shield = stack.enter_context(_shield(folder / "shield", port, http))
        edges = stack.enter_context(empty_edges(folder, shield))
        yield Tiers(data, edges, shield, f"http://127.0.0.1:{port}", pid, http)


@contextmanager
def empty_edges(folder: Path, shield: Cache) -> Iterator[list[Cache]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(_edge(folder / f"edge{number}", shield)) for number in range(EDGES)
        ]


@contextmanager
def _origin(data: Path, port: int) -> Iterator[int]:
    keys = {kid: urlsafe_b64encode(secret).decode() for kid, secret in KEYS.secrets.items()}
    settings = {
        "STREAM_SERVER_PORT": str(port),
        "STREAM_DATA_DIR": str(data),
        "STREAM_SIGNING_KEYS": json.dumps(keys),
        "STREAM_ORIGIN_SECRETS": json.dumps(["the-one-that-is-about-to-be-dropped", SECRET]),
    }
    command = [str(Path(sys.executable).with_name("headrace")), "origin"]
    with _running(command, port, data, settings) as pid:
        yield pid


@contextmanager
def _edge(folder: Path, shield: Cache) -> Iterator[Cache]:
    folder.mkdir(parents=True)
    stored = {
        f"key.{kid}": urlsafe_b64encode(secret).rstrip(b"=").decode()
        for kid, secret in KEYS.secrets.items()
    }
    (folder / "cloudfront").write_text(KEY_VALUE_STORE % json.dumps(stored))
    glue = Path(__file__).with_name("edge.js").read_text()
    (folder / "edge.js").write_text(FUNCTION.read_text() + glue)
    if not NGINX_MODULE.exists():
        sys.exit(f"{NGINX_MODULE} is missing: make bench-cdn installs it")
    more = {"MODULE": str(NGINX_MODULE)}
    with _nginx("edge.conf", folder, shield.port, more) as port:
        yield Cache(port, folder, shield.http)


@contextmanager
def _shield(folder: Path, origin_port: int, http: httpx.Client) -> Iterator[Cache]:
    folder.mkdir()
    with _nginx("shield.conf", folder, origin_port, {"SECRET": SECRET}) as port:
        yield Cache(port, folder, http)


@contextmanager
def _nginx(template: str, folder: Path, next_port: int, more: dict[str, str]) -> Iterator[int]:
    port = free_port()
    names = {
        "USER": "user root;" if os.getuid() == 0 else "",
        "FOLDER": str(folder),
        "NEXT": f"127.0.0.1:{next_port}",
        "HOST": HOST,
        "PORT": str(port),
    }
    text = Path(__file__).with_name(template).read_text()
    for name, value in (names | more).items():
        text = text.replace(f"@{name}@", value)
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with _running(command, port, folder, {}):
        yield port


@contextmanager
def _running(
    command: list[str], port: int, folder: Path, settings: dict[str, str]
) -> Iterator[int]:
    """The process id of a server and of its group, once it answers."""
    if (program := shutil.which(command[0])) is None:
        sys.exit(f"{command[0]} is not installed: make bench-cdn installs it")
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            env=os.environ | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_answering(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait_until_answering(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/done")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()}")
