"""The Deployments of the production overlay, started for real by `podman play kube`, on stores of
this machine: they encode and serve a title under the very security context of their manifests."""

import base64
import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.aws_local import servers
from deployments.aws_local.estate import environment, new_signing_key
from tests.chaos.clips import make_clips
from tests.deployments.containers import Containers
from tests.deployments.manifests import Document, container_of, of_kind, pod_of, render
from tests.service import free_port, run, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(3600)]

ROLES = ("api", "origin", "worker")
USER = {"X-User-ID": "somebody"}
PASSWORD = "secret"


@contextmanager
def stores(directory: Path) -> Iterator[dict[str, str]]:
    """What the pods are told of them."""
    with (
        servers.seaweed(directory / "s3") as s3,
        servers.ministack(directory / "dynamodb") as dynamodb,
        servers.redis(directory / "redis", password=PASSWORD) as jobs,
    ):
        told = environment("headrace", s3, dynamodb, jobs, new_signing_key())
        made = run(directory, "doctor", "--create", **told)
        assert "made DynamoDB table" in made.stdout, made.stdout + made.stderr
        del told["STREAM_REDIS_URL"]
        yield told | {
            "STREAM_REDIS_HOST": jobs.host,
            "STREAM_REDIS_PORT": str(jobs.port),
            "STREAM_REDIS_PASSWORD": PASSWORD,
            "STREAM_REDIS_TLS": "false",
            "STREAM_AWS_S3ENCRYPTION": "none",
        }


def secret(told: dict[str, str]) -> str:
    """As Podman keeps the `data` of a Secret."""
    values = {
        "STREAM_SIGNING_KEYS": told["STREAM_SIGNING_KEYS"],
        "STREAM_REDIS_PASSWORD": told["STREAM_REDIS_PASSWORD"],
        "STREAM_ORIGIN_SECRETS": json.dumps(["s" * 32]),
    }
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in values.items()}
    return json.dumps(encoded)


def on_this_machine(deployment: Document, image: str) -> Document:
    """The same but for what a cluster gives it: image and network. Podman runs no probes without
    systemd; the test does."""
    changed = copy.deepcopy(deployment)
    changed["spec"]["replicas"] = 1
    pod_of(changed)["spec"]["hostNetwork"] = True  # the stores listen on loopback alone
    container = container_of(changed)
    for name in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
        del container[name]
    container["image"] = image
    container["imagePullPolicy"] = "Never"
    return changed


def told_of_this_machine(
    maps: dict[str, Document], deployment: Document, variables: dict[str, str]
) -> list[Document]:
    """Addresses and credentials stand in the ConfigMap of Terraform's settings: Podman, other than
    Kubernetes, prefers what is there to what the container names itself."""
    container = container_of(deployment)
    (source,) = container["envFrom"]
    named = {entry["name"] for entry in container["env"]}
    changed = copy.deepcopy(maps)
    changed[source["configMapRef"]["name"]]["data"] |= {
        name: value for name, value in variables.items() if name not in named
    }
    return list(changed.values())


class Pods:
    def __init__(
        self,
        containers: Containers,
        images: dict[str, str],
        directory: Path,
        told: dict[str, str],
    ) -> None:
        self._containers = containers
        self._images = images
        self._directory = directory
        self._told = told
        self._ports = {role: free_port() for role in ROLES}

    def url(self, role: str) -> str:
        return f"http://127.0.0.1:{self._ports[role]}"

    def play(self, role: str) -> None:
        documents = render("production")
        deployment = of_kind(documents, "Deployment")[role]
        where = {
            "STREAM_SERVER_HOST": "127.0.0.1",
            "STREAM_SERVER_PORT": str(self._ports[role]),
            "STREAM_WORKER_METRICSHOST": "127.0.0.1",
            "STREAM_WORKER_METRICSPORT": str(self._ports[role]),
        }
        image = f"localhost/{self._images[role]}"
        played = [
            *told_of_this_machine(of_kind(documents, "ConfigMap"), deployment, self._told | where),
            on_this_machine(deployment, image),
        ]
        path = self._directory / f"{role}.yaml"
        path.write_text(yaml.safe_dump_all(played))
        self._containers.podman("play", "kube", str(path))

    def down(self) -> None:
        for role in ROLES:
            self._containers.podman("pod", "rm", "--force", "--ignore", f"{role}-pod-0")

    def answers(self, role: str, kind: str) -> bool:
        """What the kubelet would ask."""
        container = container_of(of_kind(render("production"), "Deployment")[role])
        try:
            return httpx.get(self.url(role) + container[kind]["httpGet"]["path"]).is_success
        except httpx.TransportError:
            assert self.state(role)["Running"], self.log(role)
            return False

    def state(self, role: str) -> dict[str, Any]:
        found = self._containers.inspect(container_name(role))["State"]
        assert isinstance(found, dict)
        return found

    def status_of(self, role: str) -> dict[str, str]:
        """As its kernel has the first process."""
        text = self.run_in(role, "cat", "/proc/1/status")
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def run_in(self, role: str, *command: str) -> str:
        return self._containers.podman("exec", container_name(role), *command)

    def stop(self, role: str) -> None:
        self._containers.podman("stop", "--time", "60", container_name(role))

    def log(self, role: str) -> str:
        script = 'podman logs "$1" 2>&1'
        return self._containers.run("sh", "-c", script, "sh", container_name(role))


def container_name(role: str) -> str:
    return f"{role}-pod-0-{role}"


@pytest.fixture(scope="module")
def pods(
    containers: Containers, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pods]:
    """The same for all tests here; the last one stops them."""
    tmp_path = tmp_path_factory.mktemp("pods")
    with stores(tmp_path) as told:
        made = Pods(containers, images, tmp_path, told)
        (tmp_path / "secret.json").write_text(secret(told))
        containers.podman("secret", "create", "headrace", str(tmp_path / "secret.json"))
        try:
            for role in ROLES:
                made.play(role)
            for role in ROLES:
                until(partial(made.answers, role, "startupProbe"))
                until(partial(made.answers, role, "readinessProbe"))
            yield made
        finally:
            made.down()
            containers.podman("secret", "rm", "headrace")


def encode(api: httpx.Client, clip: Path) -> dict[str, Any]:
    with clip.open("rb") as file:
        sent = api.post("/api/v1/upload", files={"file": file}).raise_for_status().json()
    until(lambda: title(api, sent["id"])["status"] not in ("queued", "processing"))
    return title(api, sent["id"])


def title(api: httpx.Client, media_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/v1/media/{media_id}").raise_for_status().json()
    return found


def uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


def test_the_deployments_encode_and_serve_a_title(pods: Pods, tmp_path: Path) -> None:
    clip, *_ = make_clips(tmp_path)
    with httpx.Client(base_url=pods.url("api"), headers=USER, timeout=60) as api:
        media = encode(api, clip.path)
        assert media["status"] == "ready", media["error"]
        playback = api.get(f"/api/v1/media/{media['id']}/playback").raise_for_status().json()
    index = httpx.URL(pods.url("origin")).join(httpx.URL(playback["url"]).path)
    playlist = index.join(uris(httpx.get(index).raise_for_status().text)[0])
    segment = playlist.join(uris(httpx.get(playlist).raise_for_status().text)[0])
    assert httpx.get(segment).raise_for_status().content[4:8] in (b"styp", b"moof", b"sidx")
    # Its decoders were confined, below the filter of system calls that the pod has.
    assert "no Landlock here" not in pods.log("worker")


def test_the_security_context_is_what_the_kernel_enforces(pods: Pods) -> None:
    for role in ROLES:
        status = pods.status_of(role)
        assert status["Uid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
        with pytest.raises(AssertionError, match="Read-only file system"):
            pods.run_in(role, "touch", "/tmp/it")


def test_pods_end_by_themselves_when_told_to(pods: Pods) -> None:
    for role in ROLES:
        pods.stop(role)
        assert pods.state(role)["ExitCode"] == 0, pods.log(role)
