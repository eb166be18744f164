"""Runbooks are read in a hurry: what they name is there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.deployments.queries import RUNBOOKS, of_runbooks
from tests.deployments.test_alerts import alerts

PARTS = ["What it means for viewers", "What to look at", "What to do", "When to stop"]

COMMAND_LINE = re.compile(r"`headrace\s([^`]+)`")
OPTION = re.compile(r"--[a-z-]+")


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS} == {alert for alert, _ in alerts()}


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_its_parts_its_queries_and_its_links(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == PARTS
    assert path.stem in {query.where for query in of_runbooks()}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists(), link


def test_each_command_that_a_runbook_names_exists_with_its_options() -> None:
    named: dict[str, set[str]] = {}
    for path in RUNBOOKS:
        for line in COMMAND_LINE.findall(path.read_text()):
            words = [word for word in line.split() if re.fullmatch("[a-z]+", word)]
            command = " ".join(words[:2] if words[0] == "media" else words[:1])
            named.setdefault(command, set()).update(OPTION.findall(line))
    assert {"jobs", "doctor", "media show"} <= set(named)
    for command, options in named.items():
        told = help_of(command)
        assert options <= set(OPTION.findall(told)), command


def help_of(command: str) -> str:
    told = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command.split(), "--help"])
    assert told.exit_code == 0, told.output
    return told.output
