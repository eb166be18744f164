"""Images and containers of the checks: storage of their own, below build/, removed at the end.

Only what Debian, PyPI and npm have is fetched: what the Dockerfile and the Compose file take from
a registry of images is stood in for, see standins.Dockerfile.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import partial
from pathlib import Path

import yaml

from stores.processes import die_with_parent
from tests.service import until

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deployments/docker/Dockerfile"
COMPOSE_FILE = ROOT / "deployments/docker/compose.yaml"
COMPOSE = str(Path(sys.executable).with_name("docker-compose"))
STANDINS = ROOT / "tests/deployments/standins.Dockerfile"
BUILD_S = 1500
COMMAND_S = 120
HEALTH_CHECK_S = 1.0
TARGETS = ("api", "origin", "worker", "all")
TAG = "check"
IN_COMPOSE = {  # the stand-in of each service's image
    "redis": "redis",
    "s3": "seaweedfs",
    "dynamodb": "ministack",
    "cdn": "nginx",
    "prometheus": "prometheus",
}

# runc, for crun refuses some kernels' control groups; limits that need no privilege to set. The
# rest keeps what this machine's own Podman has out of it: a reset removes all of `tmp_dir`, too.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
[engine]
tmp_dir = "{directory}/tmp"
lock_type = "file"
runtime = "{runc}"
cgroup_manager = "cgroupfs"
events_logger = "file"
compat_api_enforce_docker_hub = false
[network]
network_backend = "netavark"
network_config_dir = "{directory}/networks"
"""
STORAGE_CONF = """
[storage]
driver = "overlay"
graphroot = "{directory}/storage"
runroot = "{directory}/run"
"""
# As the official image: `python` in /usr/local/bin, headers, and a pip that may install.
CUSTOMIZE = (
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python"; '
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED; '
    'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"'
)
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Containers:
    directory: Path

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
            "DOCKER_HOST": f"unix://{self.directory}/podman.sock",
        }

    @contextmanager
    def storage(self) -> Iterator[None]:
        """Of one run at a time; others wait. What one left that was killed is removed before."""
        self.directory.parent.mkdir(exist_ok=True)
        with self.directory.with_suffix(".lock").open("w") as lock:
            flock(lock, LOCK_EX)
            self._configure()
            self._remove()
            self._configure()
            try:
                yield
            finally:
                self._remove()

    def _configure(self) -> None:
        (self.directory / "networks").mkdir(parents=True, exist_ok=True)
        for name, text in (("containers", CONTAINERS_CONF), ("storage", STORAGE_CONF)):
            filled = text.format(directory=self.directory, runc=shutil.which("runc"))
            (self.directory / f"{name}.conf").write_text(filled)

    def run(self, *command: str, timeout_s: float = COMMAND_S) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def podman(self, *arguments: str) -> str:
        return self.run("podman", *arguments).strip()

    def inspect(self, name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.podman("inspect", name))[0]
        return found

    def build(self, file: Path, target: str, image: str, *arguments: str) -> None:
        command = ("buildah", "bud", "--format", "docker", "--pull-never", "--layers")
        what = ("--target", target, "--tag", image, "--file", str(file), *arguments, str(ROOT))
        self.run(*command, *what, timeout_s=BUILD_S)

    def build_base(self) -> str:
        image = base_images()["PYTHON_IMAGE"]
        archive = self.directory / "base.tar"
        packages = "python3,python3-dev,python3-venv,python3-pip,ca-certificates"
        options = ("--quiet", "--variant=minbase", f"--include={packages}")
        hook = f"--customize-hook={CUSTOMIZE}"
        self.run("mmdebstrap", *options, hook, "bookworm", str(archive), timeout_s=BUILD_S)
        changes = (f"ENV={name}={AUTHORITIES}" for name in ("PIP_CERT", "NODE_EXTRA_CA_CERTS"))
        self.podman("import", *(f"--change={change}" for change in changes), str(archive), image)
        archive.unlink()
        return image

    def build_standins(self, base: str) -> None:
        images = {"node": base_images()["NODE_IMAGE"]} | {
            standin: services()[service]["image"] for service, standin in IN_COMPOSE.items()
        }
        for target, image in images.items():
            whole = ("--ignorefile", "/dev/null")
            self.build(STANDINS, target, image, "--build-arg", f"BASE={base}", *whole)

    def build_product(self) -> dict[str, str]:
        """As the Makefile does: DOCKER_HOST keeps it from an engine that this machine has."""
        self.run("make", "docker-build", f"TAG={TAG}", timeout_s=BUILD_S)
        return {target: f"headrace/{target}:{TAG}" for target in TARGETS}

    def _remove(self) -> None:
        self.run("podman", "system", "reset", "--force")
        shutil.rmtree(self.directory)

    @contextmanager
    def serving_docker(self) -> Iterator[None]:
        """Podman behind Docker's API, and its health checks, which it leaves to systemd."""
        socket = self.directory / "podman.sock"
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{socket}"],
            env=self.environment(),
            preexec_fn=partial(die_with_parent, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stop = threading.Event()
        checks = threading.Thread(target=self._check_health, args=(stop,))
        checks.start()
        try:
            until(socket.exists)
            yield
        finally:
            stop.set()
            checks.join()
            service.terminate()
            service.wait()

    def _check_health(self, stop: threading.Event) -> None:
        while not stop.wait(HEALTH_CHECK_S):
            for name in self.podman("ps", "--quiet").split():
                subprocess.run(  # unhealthy, or gone by now: Compose sees it
                    ["podman", "healthcheck", "run", name],
                    env=self.environment(),
                    capture_output=True,
                    check=False,
                )


def base_images() -> dict[str, str]:
    """Argument to image, as the Dockerfile pins them."""
    arguments = (line.split() for line in DOCKERFILE.read_text().splitlines())
    defaults = (words[1].partition("=") for words in arguments if words[:1] == ["ARG"])
    return {name: value for name, _, value in defaults if name.endswith("_IMAGE")}


def services() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    return found
