"""What can be said of images and Compose without building: the rest is in test_images.py."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.deployments.containers import (
    COMPOSE,
    COMPOSE_FILE,
    DOCKERFILE,
    ROOT,
    TARGETS,
    base_images,
    services,
)

FOLDER = ROOT / "deployments/docker"
HADOLINT = str(Path(sys.executable).with_name("hadolint"))
SECRETS = ("STORE_PASSWORD", "CDN_SECRET", "SIGNING_KEY", "GRAFANA_PASSWORD")
IMAGE = {"python_version": "3.11", "sys_platform": "linux"}


def stages() -> dict[str, str]:
    """The Dockerfile's text by the name of the stage."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def locked(name: str) -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9.-]+)==(\S+)", (FOLDER / name).read_text(), re.MULTILINE)
    return {package: Version(version) for package, version in found}


def unsatisfied(requirements: list[str], lock: dict[str, Version]) -> Iterator[str]:
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or marker.evaluate(IMAGE):
            version = lock.get(requirement.name.lower().replace("_", "-"))
            if version is None or version not in requirement.specifier:
                yield f"{requirement}: {version}"


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    secrets = dict.fromkeys(SECRETS, "x" * 32)
    return subprocess.run(
        [COMPOSE, "--file", str(COMPOSE_FILE), "--env-file", os.devnull, *arguments],
        env={"PATH": os.environ["PATH"], **secrets, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def resolved(**variables: str) -> dict[str, Any]:
    done = compose("config", **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run(
        [HADOLINT, "--failure-threshold=style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_bases_are_pinned_to_a_full_version() -> None:
    assert len(base_images()) == 2
    for image in [*base_images().values(), *(found["image"] for found in services().values())]:
        if not image.startswith("headrace/"):
            assert re.search(r":v?\d+\.\d+(\.\d+)?(-|$)", image), image


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_no_root_and_has_a_health_check(target: str) -> None:
    users = re.findall(r"^USER (\S+)$", stages()["runtime"] + stages()[target], re.MULTILINE)
    assert users[-1] == "10001:10001"
    assert "STOPSIGNAL SIGTERM" in stages()["runtime"]
    assert 'CMD ["headrace-health"]' in stages()[target]
    assert re.search(r'^CMD \["\w+"\]$', stages()[target], re.MULTILINE)


def test_the_default_target_is_the_one_that_needs_nothing_else() -> None:
    assert list(stages())[-1] == "all"


def test_the_lock_satisfies_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lock = locked("requirements.lock")
    wanted = project["project"]["dependencies"]
    wanted += project["project"]["optional-dependencies"]["tracing"]
    assert list(unsatisfied(wanted, lock)) == []
    assert list(unsatisfied(["redis>=99", "absent"], lock)) == [
        f"redis>=99: {lock['redis']}",
        "absent: None",
    ]


def test_the_build_stage_has_what_builds_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = locked("build-requirements.lock")
    assert list(unsatisfied(project["build-system"]["requires"], build)) == []


@pytest.mark.parametrize("name", ["requirements.lock", "build-requirements.lock"])
def test_every_package_has_its_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (FOLDER / name).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_compose_accepts_its_file_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    assert compose("config", "--quiet").returncode == 0
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE_FILE.read_text().replace("cap_drop:", "cap_drops:"))
    done = subprocess.run([COMPOSE, "--file", str(wrong), "config", "--quiet"], capture_output=True)
    assert done.returncode != 0


def test_secrets_have_no_default() -> None:
    done = compose("config", "--quiet", CDN_SECRET="")
    assert done.returncode != 0
    assert "env.sh" in done.stderr


def test_keys_are_given_to_who_signs_or_verifies() -> None:
    services = resolved(COMPOSE_PROFILES="app,monitoring")
    for name, secret in (
        ("SIGNING_KEYS", {"api", "origin", "cdn"}),
        ("ORIGIN_SECRETS", {"origin"}),
    ):
        variable = f"STREAM_{name}"
        assert {it for it in services if variable in services[it].get("environment", {})} == secret


def test_env_sh_gives_what_compose_needs() -> None:
    shown = subprocess.run(["sh", FOLDER / "env.sh"], capture_output=True, text=True, check=True)
    variables = dict(line.split("=", 1) for line in shown.stdout.splitlines())
    assert {len(variables[name]) for name in SECRETS} == {43}
    assert len({variables[name] for name in SECRETS}) == len(SECRETS)
    assert {"api", "cdn", "grafana", "redis"} <= set(resolved(**variables))


def test_without_a_profile_the_stores_alone_are_started() -> None:
    assert set(resolved()) == {"redis", "s3", "dynamodb"}


def test_headrace_is_hardened_and_ports_are_on_loopback() -> None:
    for name, service in resolved(COMPOSE_PROFILES="app,monitoring").items():
        assert {port["host_ip"] for port in service.get("ports", ())} <= {"127.0.0.1"}, name
        if service["image"].startswith("headrace/"):
            assert service["read_only"] and service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name


def test_an_origin_is_given_neither_catalog_nor_queue() -> None:
    given = resolved(COMPOSE_PROFILES="app")["origin"]["environment"]
    assert [name for name in given if "REDIS" in name or "DYNAMODB" in name] == []


def test_grafanas_password_opens_nothing_else() -> None:
    services = resolved(COMPOSE_PROFILES="app,monitoring", GRAFANA_PASSWORD="only-grafana's")
    assert [name for name in services if "only-grafana's" in str(services[name])] == ["grafana"]


def test_grafana_finds_what_is_mounted_and_whom_it_asks() -> None:
    services = resolved(COMPOSE_PROFILES="monitoring")
    mounts = {mount["source"]: mount["target"] for mount in services["grafana"]["volumes"]}
    provisioning = ROOT / "deployments/monitoring/grafana/provisioning"
    assert mounts[str(provisioning)] == "/etc/grafana/provisioning"  # where its image looks
    (provider,) = yaml.safe_load((provisioning / "dashboards/headrace.yaml").read_text())[
        "providers"
    ]
    dashboards = ROOT / "deployments/monitoring/grafana/dashboards"
    assert mounts[str(dashboards)] == provider["options"]["path"]
    assert list(dashboards.glob("*.json"))
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    port = services["prometheus"]["ports"][0]["target"]
    assert source["url"] == f"http://prometheus:{port}"
