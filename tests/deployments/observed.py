"""An api, an origin and a worker that share a directory, and a Prometheus that scrapes them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.aws_local import servers
from tests.deployments.queries import MONITORING
from tests.service import free_port, started, until

HOST = "127.0.0.1"
EVERY = "1s"  # it scrapes and evaluates


@dataclass(frozen=True, slots=True)
class Observed:
    api: str
    origin: str
    prometheus: str

    def query(self, text: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": text}).json()
        assert answer["status"] == "success", f"{text}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def series(self, selector: str) -> list[dict[str, str]]:
        answer = httpx.get(f"{self.prometheus}/api/v1/series", params={"match[]": selector}).json()
        assert answer["status"] == "success", f"{selector}: {answer}"
        found: list[dict[str, str]] = answer["data"]
        return found


@contextmanager
def observed(directory: Path) -> Iterator[Observed]:
    port = free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(servers.redis(make(directory / "redis")))
        shared = {"STREAM_REDIS_URL": redis.url, "STREAM_WORKER_METRICSPORT": str(port)}
        origin = stack.enter_context(started(directory, command="origin", **shared))
        shared["STREAM_ORIGIN_PUBLICURL"] = origin.url
        api = stack.enter_context(started(directory, command="api", **shared))
        stack.enter_context(started(directory, command="worker", **shared))
        until(api.is_ready)
        until(origin.is_ready)
        targets = {"api": api.url, "origin": origin.url, "worker": f"http://{HOST}:{port}"}
        prometheus = stack.enter_context(scraping(make(directory / "prometheus"), targets))
        yield Observed(api.url, origin.url, prometheus)


@contextmanager
def scraping(directory: Path, targets: dict[str, str]) -> Iterator[str]:
    """The configuration as it is deployed, but for where targets are and how often."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    config["rule_files"] = [str(MONITORING / "rules" / "*.yml")]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        address = targets[job["job_name"]].removeprefix("http://")
        job["static_configs"] = [{"targets": [address]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    options = {
        "config.file": directory / "prometheus.yml",
        "storage.tsdb.path": directory / "data",
        "web.listen-address": f"{HOST}:{port}",
        "log.level": "warn",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"http://{HOST}:{port}"
    try:
        until(lambda: process.poll() is not None or is_ready(url))
        assert process.poll() is None, (directory / "log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def make(directory: Path) -> Path:
    directory.mkdir()
    return directory
