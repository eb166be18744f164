"""Terraform in a copy of the configuration, with the AWS provider's schema and no network."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-terraform" / "bin" / "python"
TIMEOUT_S = 120
LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'
SECRETS: dict[str, Any] = {
    "queue_password": "0123456789abcdef0123456789abcdef",
    "origin_secrets": ["newer" * 8, "older" * 8],
    "signing_keys": [{"kid": "k2", "secret": "A" * 43}, {"kid": "k1", "secret": "B" * 42 + "A"}],
}

Values = dict[str, Any]


def copied(folder: Path) -> Path:
    """The configuration beside what it reads, ready to be planned."""
    shutil.copytree(ROOT / "terraform", folder / "terraform")
    for beside in ("deployments/cloudfront", "deployments/iam", "deployments/kubernetes"):
        shutil.copytree(ROOT / beside, folder / beside)
    (folder / "terraform" / "backend_override.tf").write_text(LOCAL_STATE)
    (folder / "terraform" / "secrets.auto.tfvars.json").write_text(json.dumps(SECRETS))
    terraform(folder / "terraform", "init", "-input=false")
    return folder / "terraform"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-m", "deployments.terraform_offline", str(folder), *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )


def terraform(folder: Path, *arguments: str) -> str:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def plan(folder: Path, environment: str, **variables: object) -> Values:
    given = [f"-var={name}={json.dumps(value)}" for name, value in variables.items()]
    file = f"-var-file=environments/{environment}.tfvars"
    terraform(folder, "plan", "-input=false", f"-out={environment}.plan", file, *given)
    planned: Values = json.loads(terraform(folder, "show", "-json", f"{environment}.plan"))
    return planned


def resources(planned: Values) -> dict[str, Values]:
    """What is to be, by address; what only AWS knows is not there."""

    def walk(module: Values) -> Iterator[tuple[str, Values]]:
        for resource in module.get("resources", ()):
            if resource["mode"] == "managed":
                yield resource["address"], resource.get("values", {})  # none: all is unknown
        for child in module.get("child_modules", ()):
            yield from walk(child)

    return dict(walk(planned["planned_values"]["root_module"]))
