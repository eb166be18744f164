"""The two configurations that the product is tested in.

embedded: `headrace up`, which keeps everything in a directory.
aws: API with page, origin and two workers, each a process with a directory and credentials of its
own, which share nothing but S3, DynamoDB and Redis.
"""

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from cli.config import parse
from deployments.aws_local import estate, servers
from media.settings import DEFAULT_PROFILES
from tests import service as command
from tests.e2e.roles import credentials
from tests.e2e.service import Service

STOP_S = 60
SOON_S = 20
WORKERS = 2
ROLES = ("api", "origin", "worker", "create")
# Where it does not matter what the encoder can do, which the embedded service shows for every clip.
RUNGS = [profile.model_dump() for profile in DEFAULT_PROFILES[1:]]
QUICK = {"STREAM_FFMPEG_PRESET": "superfast", "STREAM_FFMPEG_PROFILES": json.dumps(RUNGS)}
MODEST = {"STREAM_WORKER_CONCURRENCY": "1", **QUICK}  # a worker each for two processors

# For tests of what is the same whatever stores the media.
ONE_INSTALL = pytest.mark.parametrize("install", ["embedded"], indirect=True)

Install = Callable[[Path], "Configuration"]  # a new one in a directory


class Configuration:
    """One installation: what is uploaded in one run is there in the next."""

    def running(self, *, stop: signal.Signals = signal.SIGINT) -> AbstractContextManager[Service]:
        """Ends all processes with `stop` and asserts that they ended well."""
        raise NotImplementedError


class Embedded(Configuration):
    def __init__(self, directory: Path, **variables: str) -> None:
        self._directory = directory
        self._variables = variables

    @contextmanager
    def running(self, *, stop: signal.Signals = signal.SIGINT) -> Iterator[Service]:
        with command.started(self._directory, **self._variables) as up:
            with _client(up) as client:
                yield Service(
                    up.url,
                    [up],
                    parse(
                        command.environment(self._directory, 80, **self._variables),
                        self._directory,
                    ),
                    client,
                    lambda word: _descendant(up, word).kill(),
                )
            _end([up], stop)


class Aws(Configuration):
    def __init__(self, directory: Path, s3: servers.AwsServer, dynamodb: servers.AwsServer) -> None:
        self._directory = directory
        self._redis = _Redis(directory / "redis")
        name, key = f"e2e-{secrets.token_hex(4)}", estate.new_signing_key()
        with self._redis.running() as redis:
            shared = estate.environment(name, s3, dynamodb, redis, key)
        self._environment = shared | MODEST
        aws = parse(self._environment, directory).aws
        self._credentials = {role: credentials(role, s3, aws) for role in ROLES}
        with self._redis.running():
            done = command.run(
                directory, "doctor", "--create", **self._environment | self._credentials["create"]
            )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def running(self, *, stop: signal.Signals = signal.SIGINT) -> Iterator[Service]:
        with self._redis.running(), ExitStack() as stack:

            def start(name: str, *arguments: str, **variables: str) -> command.Service:
                directory = self._directory / name
                directory.mkdir(exist_ok=True)
                role = name.partition("-")[0]
                environment = self._environment | self._credentials[role] | variables
                started = command.started(directory, *arguments, command=role, **environment)
                return stack.enter_context(started)

            def kill(word: str) -> None:
                if word == "redis-server":
                    self._redis.kill()
                    return
                assert word == "worker"
                workers.pop().stop(signal.SIGKILL)
                workers.append(start("worker-again"))

            origin = start("origin")
            playback = {"STREAM_ORIGIN_PUBLICURL": origin.url}
            settings = parse(self._environment | playback, self._directory)
            api = start("api", "--page", **playback)
            workers = [start(f"worker-{number}") for number in range(WORKERS)]
            with _client(api) as client:
                yield Service(api.url, [origin, api, *workers], settings, client, kill)
            _end([origin, api, *workers], stop)


class _Redis:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = servers.free_port()
        self._stack = ExitStack()

    @contextmanager
    def running(self) -> Iterator[servers.RedisServer]:
        with self._stack:
            yield self._start()

    def kill(self) -> None:
        """It comes back, as a managed one does."""
        self._process.kill()
        self._stack.close()
        self._start()

    def _start(self) -> servers.RedisServer:
        server = self._stack.enter_context(servers.redis(self._directory, port=self._port))
        self._process = psutil.Process(server.pid)
        return server


@contextmanager
def _client(door: command.Service) -> Iterator[httpx.Client]:
    command.until(door.is_ready)
    with httpx.Client(base_url=door.url, headers={"X-User-ID": "tests"}, timeout=60) as client:
        yield client


def _descendant(service: command.Service, word: str) -> psutil.Process:
    """The running process whose command line has this word."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        for child in service.children():
            try:
                words = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if any(word in Path(part.split(" ")[0]).name for part in words[:5]):
                return child
        time.sleep(0.05)
    raise AssertionError(f"no {word} process")


def _end(processes: list[command.Service], stop: signal.Signals) -> None:
    for process in processes:
        if process.process.poll() is None:
            process.process.send_signal(stop)
    expected = {-stop} if stop is signal.SIGKILL else {0}
    for process in processes:
        status = process.process.wait(STOP_S)
        assert status in expected, process.output()
