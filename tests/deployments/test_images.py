"""The images, built and run: what docker runs from a registry runs here from stand-ins."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.clips import make_clips
from tests.deployments.containers import COMPOSE, COMPOSE_FILE, DOCKERFILE, TAG, TARGETS, Containers
from tests.service import free_port, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(3600)]

USER = {"X-User-ID": "somebody"}
FRAMES = 200  # of the clip: 8 s at 25 a second
STARTED = ("api", "worker", "cdn", "prometheus")  # and what they depend on
START_S = 180
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
SIZE_BUDGET = 450_000_000  # of what a target adds to its base


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))[0].path


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.TransportError:
        return False


def upload(api: str, clip: Path) -> str:
    """The title's id, once it is ready."""
    with clip.open("rb") as file:
        answer = httpx.post(f"{api}/api/v1/upload", headers=USER, files={"file": file}, timeout=60)
    assert answer.status_code == 201, answer.text
    title = f"{api}/api/v1/media/{answer.json()['id']}"

    def is_ready() -> bool:
        record = httpx.get(title, headers=USER).json()
        assert record["status"] != "failed", record
        return bool(record["status"] == "ready")

    until(is_ready)
    return str(answer.json()["id"])


def playback(api: str, media: str) -> str:
    answer = httpx.get(f"{api}/api/v1/media/{media}/playback", headers=USER)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def frames(url: str) -> int:
    """What a player decodes of the picture."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return int(done.stdout.split()[0].strip(","))


def test_nothing_that_compiles_or_installs_is_in_what_runs(
    containers: Containers, images: dict[str, str]
) -> None:
    for image in images.values():
        script = "for name in gcc cc c++ make npm; do ! command -v $name || exit 1; done; id -u"
        user = containers.podman("run", "--rm", "--entrypoint=sh", image, "-c", script)
        assert user == "10001"
        pip = "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('Cython'))"
        python = ("--entrypoint=/opt/headrace/bin/python", image, "-c", pip)
        assert containers.podman("run", "--rm", *python) == "None None"


def test_each_image_lists_what_it_is_made_of(
    containers: Containers, images: dict[str, str]
) -> None:
    folder = "/usr/share/doc/headrace/sbom"
    cat = ("run", "--rm", "--entrypoint=cat", images["worker"])
    for name, expected in (("python", {"av", "granian", "redis"}), ("player", {"hls.js"})):
        bom: dict[str, Any] = json.loads(containers.podman(*cat, f"{folder}/{name}.cdx.json"))
        assert bom["bomFormat"] == "CycloneDX"
        assert expected <= {component["name"] for component in bom["components"]}


def test_sizes_are_known_and_bounded(
    containers: Containers, images: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    layers: dict[str, Any] = json.loads(
        containers.podman("history", "--format=json", images["all"])
    )[-1]
    base = int(layers["size"])
    for target, image in images.items():
        size = int(containers.podman("image", "inspect", "--format={{.Size}}", image))
        with capsys.disabled():
            print(f"\n{target}: {size / 1e6:.0f} MB, of them {base / 1e6:.0f} MB the base's")
        assert size - base < SIZE_BUDGET


def test_a_worker_for_nvidia_asks_for_the_hosts_libraries(
    containers: Containers, images: dict[str, str]
) -> None:
    """Nothing of NVIDIA's can be run here: what its runtime looks for is there."""
    containers.build(
        DOCKERFILE, "worker", f"headrace/worker:{TAG}-nvidia", "--build-arg=GPU=nvidia"
    )
    for image, devices in ((images["worker"], ""), (f"headrace/worker:{TAG}-nvidia", "all")):
        config: Any = containers.inspect(image)["Config"]
        assert f"NVIDIA_VISIBLE_DEVICES={devices}" in config["Env"]


def test_all_in_one_does_the_main_job_hardened(
    containers: Containers, images: dict[str, str], clip: Path
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    published = f"--publish=127.0.0.1:{port}:8080"
    name = containers.podman("run", "--detach", *HARDENED, published, images["all"])
    try:
        until(lambda: answers(url))
        assert frames(playback(url, upload(url, clip))) == FRAMES
        containers.podman("healthcheck", "run", name)
        with pytest.raises(AssertionError, match="Read-only file system"):
            containers.podman("exec", name, "touch", "/opt/headrace/x")
        containers.podman("stop", "--time=30", name)
        state: Any = containers.inspect(name)["State"]
        assert state["ExitCode"] == 0
    finally:
        containers.podman("rm", "--force", "--volumes", name)


class Stack:
    def __init__(self, containers: Containers, directory: Path) -> None:
        self.containers = containers
        self.ports = {name: free_port() for name in ("API", "CDN", "PROMETHEUS", "GRAFANA")}
        self._env = directory / "env"
        made = containers.run("sh", str(COMPOSE_FILE.with_name("env.sh")))
        own = [f"{name}_PORT={port}" for name, port in self.ports.items()]
        self._env.write_text("\n".join([made, f"TAG={TAG}", *own]))

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def prometheus(self, endpoint: str, **query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url('PROMETHEUS')}/api/v1/{endpoint}", params=query)
        data: dict[str, Any] = answer.raise_for_status().json()["data"]
        return data

    def compose(self, *arguments: str) -> str:
        profiles = ("--profile=app", "--profile=monitoring")
        command = (COMPOSE, "--file", str(COMPOSE_FILE), "--env-file", str(self._env))
        return self.containers.run(*command, *profiles, *arguments, timeout_s=300)

    def up(self) -> None:
        options = ("--detach", "--pull=never", "--wait", f"--wait-timeout={START_S}")
        try:
            self.compose("up", *options, *STARTED)
        except AssertionError as error:
            error.add_note(self.compose("logs", "--tail=20"))
            raise


@pytest.fixture(scope="module")
def stack(
    containers: Containers, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    assert set(images) == set(TARGETS)
    made = Stack(containers, tmp_path_factory.mktemp("stack"))
    with containers.serving_docker():
        try:
            made.up()
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout=15")


@pytest.fixture(scope="module")
def title(stack: Stack, clip: Path) -> str:
    return upload(stack.url("API"), clip)


def test_the_whole_stack_does_the_main_job_behind_its_cdn(stack: Stack, title: str) -> None:
    first, second = (playback(stack.url("API"), title) for _ in range(2))
    assert first.startswith(stack.url("CDN"))
    assert frames(first) == FRAMES
    # Another viewer's token opens the same entry of the cache; none, or a wrong one, nothing.
    httpx.get(first).raise_for_status()
    again = httpx.get(second)
    assert (again.status_code, again.headers["x-cache"]) == (200, "Hit from cloudfront")
    forged = first.replace("/t/", "/t/A", 1)
    assert httpx.get(forged).status_code == 403
    assert httpx.get(f"{stack.url('CDN')}/metrics").status_code == 403


def test_prometheus_of_the_stack_scrapes_every_process(stack: Stack) -> None:
    def scraped() -> set[str]:
        query = {"query": "sum by (job) (up) == count by (job) (up)"}
        return {found["metric"]["job"] for found in stack.prometheus("query", **query)["result"]}

    until(lambda: scraped() == {"api", "origin", "worker"})
    rules = [rule for group in stack.prometheus("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert "ApiGone" in {rule["name"] for rule in rules}


def test_a_title_survives_that_all_is_killed_but_the_catalog(stack: Stack, title: str) -> None:
    """Which keeps what it has when it is stopped, and then alone."""
    stack.compose("stop", "dynamodb")
    stack.compose("kill")
    stack.up()
    assert frames(playback(stack.url("API"), title)) == FRAMES
