"""Real servers for development and tests: S3, DynamoDB and Redis, each on free loopback ports.

Each is a context manager that starts one, waits until it works, and ends it with everything that
it started. Should this process die first, the kernel kills them. What they keep is in the
directory, and is there again when a server is started on it anew.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from stores.processes import die_with_parent

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCESS_KEY = "headrace-local"
SECRET_KEY = "headrace-local-secret"  # noqa: S105 -- opens servers on loopback alone
MINISTACK = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "ministack"

# Below the ports that the kernel gives to connections (32768 up), with room for weed's gRPC ports.
FIRST_PORT, LAST_PORT = 11_000, 22_000
GRPC_OFFSET = 10_000
WEED_PORTS = ("s3", "master", "volume", "filer", "admin")

START_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 5
STOP_TIMEOUT_S = 20
POLL_S = 0.02
LOG_TAIL_BYTES = 3000


class NotStarted(Exception):
    """A server is not installed or ended at once; the message says which and why."""


@dataclass(frozen=True, slots=True)
class AwsServer:
    endpoint: str
    access_key: str
    secret_key: str
    region: str
    pid: int

    def environment(self) -> dict[str, str]:
        """Where AWS clients look for credentials."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


@dataclass(frozen=True, slots=True)
class RedisServer:
    host: str
    port: int
    password: str | None
    pid: int

    @property
    def url(self) -> str:
        user = "" if self.password is None else f":{self.password}@"
        return f"redis://{user}{self.host}:{self.port}/0"


@contextmanager
def seaweed(directory: Path, *, port: int | None = None) -> Iterator[AwsServer]:
    """S3, without buckets. Uses five ports from `port` on, and those 10,000 above."""
    program = str(Path(sys.executable).with_name("weed"))
    ports = _weed_ports(port)
    endpoint = f"http://{HOST}:{ports['s3']}"
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "GOMEMLIMIT": "1GiB",  # less makes it thrash
        "HOME": str(directory),  # it looks for configuration there
    }
    command = [program, "-logtostderr=true", "mini", *_weed_options(directory, ports)]
    try:
        with _running(command, directory, environment) as server:
            server.wait_until(lambda: _weed_works(endpoint, ports["filer"]))
            yield AwsServer(endpoint, ACCESS_KEY, SECRET_KEY, REGION, server.pid)
    finally:
        _remove_weed_sockets(ports)


@contextmanager
def ministack(directory: Path, *, port: int | None = None) -> Iterator[AwsServer]:
    """DynamoDB, without tables. What it holds is kept when it is stopped, not when it is killed."""
    port = _claimed([port]) if port else free_port()
    environment = {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # or it listens for MQTT on every address
        "SERVICES": "dynamodb,dynamodbstreams",
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(directory.absolute() / "state"),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "HOME": str(directory),
    }
    endpoint = f"http://{HOST}:{port}"
    with _running([str(MINISTACK)], directory, environment) as server:
        server.wait_until(lambda: _answers(f"{endpoint}/_ministack/health", 200))
        yield AwsServer(endpoint, ACCESS_KEY, SECRET_KEY, REGION, server.pid)


@contextmanager
def redis(
    directory: Path,
    *arguments: str,
    port: int | None = None,
    password: str | None = None,
    program: str = "redis-server",
) -> Iterator[RedisServer]:
    """With an append-only file and noeviction, unless `arguments` (`--name`, `value`) differ."""
    port = _claimed([port]) if port else free_port()
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(directory.absolute()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        **({} if password is None else {"requirepass": password}),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with _running([shutil.which(program) or program, *words, *arguments], directory) as server:
        server.wait_until(lambda: _redis_answers(port))
        yield RedisServer(HOST, port, password, server.pid)


def free_port() -> int:
    return free_block(1)


@dataclass(frozen=True, slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, works: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while (status := self.process.poll()) is not None or not works():
            if status is not None or time.monotonic() > deadline:
                why = "does not answer" if status is None else f"ended with status {status}"
                tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
                raise NotStarted(f"{self.log.stem} {why}; the end of {self.log}:\n{tail}")
            time.sleep(POLL_S)


@contextmanager
def _running(
    command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[_Running]:
    program = Path(command[0])
    if not os.access(program, os.X_OK):
        raise NotStarted(f"{program} is not installed; `make setup-aws-local` installs it")
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{program.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- programs and options of this module
            command,
            cwd=directory,
            env=environment or {},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for whoever uses it, who may still need it
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        yield _Running(process, log)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The process, which writes down what it holds, and then whatever it has left running."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _weed_ports(first: int | None) -> dict[str, int]:
    count = len(WEED_PORTS)
    first = _claimed(range(first, first + count)) if first else free_block(count)
    return {name: first + n for n, name in enumerate(WEED_PORTS)}


def _claimed(ports: Sequence[int]) -> int:
    """The first of them. A server that shares its port with another may not notice."""
    for port in ports:
        if not _is_free(port):
            raise NotStarted(f"port {port} is in use")
    return ports[0]


def _weed_options(directory: Path, ports: Mapping[str, int]) -> list[str]:
    options = {
        "dir": directory.absolute(),
        "ip": HOST,
        "ip.bind": HOST,
        **{f"{name}.port": port for name, port in ports.items()},
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 128,
        # Amazon's S3 does neither.
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.iam.readOnly": "false",  # it holds users to their policies, as Amazon's does
    }
    return [f"-{name}={value}" for name, value in options.items()]


def _weed_works(endpoint: str, filer_port: int) -> bool:
    """Its health check answers before it can store anything, so something is stored. S3 refuses
    who does not sign as soon as it knows its credentials."""
    probe = f"http://{HOST}:{filer_port}/started"
    return (
        _answers(f"{endpoint}/", 403)
        and _answers(probe, 201, method="PUT", content=b"x")
        and _answers(probe, 204, method="DELETE")
    )


def _remove_weed_sockets(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        for path in (f"{name}-{port}", f"{name}-grpc-{port + GRPC_OFFSET}"):
            Path(f"/tmp/seaweedfs-{path}.sock").unlink(missing_ok=True)  # noqa: S108


def _answers(url: str, status: int, *, method: str = "GET", content: bytes = b"") -> bool:
    try:
        answer = httpx.request(method, url, content=content, timeout=ANSWER_TIMEOUT_S)
    except httpx.TransportError:
        return False
    return answer.status_code == status


def _redis_answers(port: int) -> bool:
    """Not while it is reading its files; one that wants a password first is there."""
    try:
        with socket.create_connection((HOST, port), timeout=ANSWER_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def free_block(count: int) -> int:
    """The first of `count` ports that are free, as are those GRPC_OFFSET above."""
    while True:
        first = random.randrange(FIRST_PORT, LAST_PORT - count)  # noqa: S311
        wanted = range(first, first + count)
        if all(_is_free(port) and _is_free(port + GRPC_OFFSET) for port in wanted):
            return first


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
