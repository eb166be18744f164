"""What one title asks of its workers, of S3, DynamoDB and Redis, from the upload until it is ready:
counted by a proxy before the first two, and by Redis itself."""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from bench.origin.peers import free_port
from bench.processes import TreeUsage
from bench.scaling import process
from bench.transcode import RESULTS, USER, make_source, wait_until_ready
from deployments.aws_local.estate import environment, new_signing_key
from deployments.aws_local.servers import AwsServer, RedisServer, ministack, redis, seaweed

RESULT = RESULTS / "stores.json"
SECONDS = 60
LOOK_EVERY_S = 1
COMMANDS = "total_commands_processed"
SIZE_OF_KEYS = """local size = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  size = size + redis.call('MEMORY', 'USAGE', key)
end
return size"""
TEMPLATE = Path(__file__).with_name("stores.conf")
NAME = "capacity"


@dataclass(frozen=True, slots=True)
class Asked:
    """By one title; all of it grows with its length."""

    date: str
    seconds: int  # of 1080p30
    worker_cpu_s: float
    stored_bytes: int  # of the package
    s3: Mapping[str, int]  # requests by method
    dynamodb: Mapping[str, int]  # requests by operation
    redis_commands: int
    redis_bytes: int  # of its keys, which stay for a while


def measure(seconds: int) -> Asked:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_source(folder / "source.mp4", seconds)
        s3 = stack.enter_context(seaweed(folder / "s3"))
        dynamodb = stack.enter_context(ministack(folder / "dynamodb"))
        jobs = stack.enter_context(redis(folder / "redis"))
        proxy = stack.enter_context(_counting(folder / "proxy", s3, dynamodb))
        variables = environment(NAME, s3, dynamodb, jobs, new_signing_key()) | proxy.endpoints
        headrace = str(Path(sys.executable).with_name("headrace"))
        subprocess.run(
            [headrace, "doctor", "--create"],
            env=os.environ | variables,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=False,  # it also looks for what only an installation needs
        )
        port = free_port()
        variables |= {"STREAM_SERVER_PORT": str(port), "STREAM_DATA_DIR": str(folder / "data")}
        log = folder / "bench.log"
        api = stack.enter_context(process(headrace, "api", environment=variables, log=log))
        wait_until_ready(f"http://127.0.0.1:{port}", api)
        worker = stack.enter_context(process(headrace, "worker", environment=variables, log=log))
        return _asked(f"http://127.0.0.1:{port}", folder / "source.mp4", worker.pid, proxy, jobs)


@dataclass(frozen=True, slots=True)
class _Proxy:
    log: Path
    s3_port: int
    dynamodb_port: int

    @property
    def endpoints(self) -> dict[str, str]:
        return {
            "STREAM_AWS_S3ENDPOINT": f"http://127.0.0.1:{self.s3_port}",
            "STREAM_AWS_DYNAMODBENDPOINT": f"http://127.0.0.1:{self.dynamodb_port}",
        }

    def counts(self) -> dict[int, Counter[str]]:
        """Of requests by what was asked, of each port."""
        found = {self.s3_port: Counter[str](), self.dynamodb_port: Counter[str]()}
        for line in self.log.read_text().splitlines():
            port, method, target = line.split()
            what = method if target == "-" else target.rpartition(".")[2]
            found[int(port)][what] += 1
        return found


@contextmanager
def _counting(folder: Path, s3: AwsServer, dynamodb: AwsServer) -> Iterator[_Proxy]:
    folder.mkdir()
    proxy = _Proxy(folder / "requests.log", free_port(), free_port())
    names = {
        "USER": "user root;" if os.getuid() == 0 else "",
        "S3_PORT": str(proxy.s3_port),
        "S3": s3.endpoint,
        "DYNAMODB_PORT": str(proxy.dynamodb_port),
        "DYNAMODB": dynamodb.endpoint,
    }
    text = TEMPLATE.read_text()
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    (folder / "nginx.conf").write_text(text)
    command = ("nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr")
    with process(*command, environment={}, log=folder / "server.log"):
        while not proxy.log.exists():
            time.sleep(0.05)
        yield proxy


def _asked(url: str, source: Path, worker: int, proxy: _Proxy, jobs: RedisServer) -> Asked:
    with httpx.Client(base_url=url, headers=USER, timeout=60) as client:
        before, commands, size = proxy.counts(), _redis_commands(jobs), _redis_bytes(jobs)
        with TreeUsage(worker) as tree:
            with source.open("rb") as file:
                answer = client.post("/api/v1/upload", files={"file": (source.name, file)})
            answer.raise_for_status()
            looks, title = _until_ready(client, answer.json()["id"])
        after = proxy.counts()
    seconds = round(title["duration_s"])
    asked = {port: dict(after[port] - before[port]) for port in after}
    asked[proxy.dynamodb_port]["GetItem"] -= looks
    return Asked(
        date=str(date.today()),
        seconds=seconds,
        worker_cpu_s=tree.usage.cpu_s,
        stored_bytes=round(sum(r["average_bit_rate"] for r in title["renditions"]) * seconds / 8),
        s3=asked[proxy.s3_port],
        dynamodb=asked[proxy.dynamodb_port],
        redis_commands=_redis_commands(jobs) - commands,
        redis_bytes=_redis_bytes(jobs) - size,
    )


def _until_ready(client: httpx.Client, media_id: str) -> tuple[int, dict[str, Any]]:
    """How often it was looked at, each time by one GetItem; and the title."""
    for looks in itertools.count(1):
        title = client.get(f"/api/v1/media/{media_id}").json()
        if title["status"] == "ready":
            return looks, title
        if title["status"] == "failed":
            sys.exit(f"the title failed: {title['error']}")
        time.sleep(LOOK_EVERY_S)
    raise AssertionError


def _redis_commands(server: RedisServer) -> int:
    lines = _redis(server, "info", "stats").splitlines()
    return int(dict(line.split(":", 1) for line in lines if ":" in line)[COMMANDS])


def _redis_bytes(server: RedisServer) -> int:
    return int(_redis(server, "eval", SIZE_OF_KEYS, "0"))


def _redis(server: RedisServer, *words: str) -> str:
    command = ["redis-cli", "-h", server.host, "-p", str(server.port), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="headrace-bench-stores", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="length of the title (60)")
    asked = measure(parser.parse_args().seconds)
    RESULTS.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(asdict(asked), indent=1))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
