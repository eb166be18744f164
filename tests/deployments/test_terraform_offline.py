"""Terraform's own tests, a policy scanner on the plan, and mistakes that the checks must see."""

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.deployments.terraform import ROOT, copied, plan, resources, run, terraform

CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
TIMEOUT_S = 200

pytestmark = [pytest.mark.deploy, pytest.mark.xdist_group("terraform")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("terraform"))


def test_terraforms_own_tests_pass(folder: Path) -> None:
    told = terraform(folder, "test", "-var-file=environments/production.tfvars")
    assert "0 failed" in told
    assert "skipped" not in told


def test_what_checkov_finds_is_explained(folder: Path, tmp_path: Path) -> None:
    plan(folder, "production")
    file = tmp_path / "plan.json"
    file.write_text(terraform(folder, "show", "-json", "production.plan"))
    command = [
        str(CHECKOV),
        "--file",
        str(file),
        "--framework",
        "terraform_plan",
        "--skip-download",
    ]
    done = subprocess.run(
        [*command, "--compact", "--output", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    results = json.loads(done.stdout)["results"]
    assert len(results["passed_checks"]) > 300, done.stderr
    explained = tomllib.loads((folder / "checkov.toml").read_text())["exception"]
    assert all(exception["why"] for exception in explained)
    assert {(each["check_id"], each["resource"]) for each in results["failed_checks"]} == {
        (each["check"], resource) for each in explained for resource in each["resources"]
    }


def test_development_can_be_thrown_away_and_production_not(folder: Path) -> None:
    dev, production = (resources(plan(folder, name)) for name in ("dev", "production"))
    table = "module.catalog.aws_dynamodb_table.this"
    bucket = 'module.storage.aws_s3_bucket.this["raw"]'
    assert dev[table]["deletion_protection_enabled"] is False
    assert production[table]["deletion_protection_enabled"] is True
    assert (dev[bucket]["force_destroy"], production[bucket]["force_destroy"]) == (True, False)
    gateways = [
        sum(".aws_nat_gateway." in address for address in made) for made in (dev, production)
    ]
    assert gateways == [1, 3]


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ('resource "aws_s3_bucket" "x" { buckett = "x" }', "Unsupported argument"),
        ('resource "aws_kms_alias" "x" {}', "Missing required argument"),
        ('resource "aws_vpc" "x" { enable_dns_support = ["a"] }', "Incorrect attribute value"),
        ('resource "aws_lb" "x" {\n  acces_logs {}\n}', "Unsupported block type"),
        ('resource "aws_s3_buckett" "x" {}', "Invalid resource type"),
        ('output "x" { value = module.keys.ar }', "Unsupported attribute"),
    ],
)
def test_mistakes_are_seen(folder: Path, mistake: str, told: str) -> None:
    file = folder / "mistake.tf"
    file.write_text(mistake + "\n")
    done = run(folder, "validate", "-no-color")
    file.unlink()
    assert done.returncode == 1
    assert told in done.stdout
