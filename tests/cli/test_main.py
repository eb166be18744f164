import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.service import Service, ready, run

MEDIA = Path(__file__).parents[1] / "media"
CLIP = MEDIA / "odd-161x121-vp9.webm"
SLOW_TO_LOAD = ("av", "granian", "starlette", "bullmq", "redis", "uvloop", "cryptography")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with ready(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["up", "api", "origin", "worker", "upload", "media", "playback", "doctor", "jobs"]),
        (["up"], ["--upload", "STREAM_SERVER_PORT=9000", "Ctrl-C"]),
        (["api"], ["control API"]),
        (["origin"], ["CDN"]),
        (["worker"], ["SIGTERM"]),
        (
            ["upload"],
            ["--watch", "--title", "--priority", "--url", "--user", "HEADRACE_URL", "Examples:"],
        ),
        (["media"], ["ls", "show", "rm", "retry", "priority"]),
        (["media", "ls"], ["--limit"]),
        (["media", "show"], ["ID"]),
        (["media", "rm"], ["ID"]),
        (["media", "retry"], ["ID", "--priority"]),
        (["media", "priority"], ["ID", "high", "normal", "low"]),
        (["playback"], ["Example:"]),
        (["doctor"], ["encoders"]),
        (["jobs"], ["--limit", "--json"]),
    ],
)
def test_help_teaches(arguments: list[str], expected: list[str]) -> None:
    answer = CliRunner().invoke(app, [*arguments, "--help"])
    assert answer.exit_code == 0
    assert [word for word in expected if word not in answer.output] == []


def test_command_loads_neither_codecs_nor_servers_to_start() -> None:
    program = f"import sys, cli.main; print([m for m in {SLOW_TO_LOAD} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout == b"[]\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["media", "ls"], 1, "nothing answers at http://127.0.0.1:1; start the service"),
        (["playback", "../x"], 1, "'../x' is not the id of a title"),
        (["media", "ls", "--url", "nowhere"], 1, "'nowhere' is not a URL"),
        (["media", "ls", "--user", "a\nb"], 1, "'a\\nb' cannot be a user"),
        (["upload", "no.mp4"], 1, "no.mp4: No such file or directory"),
        (["upload", "."], 1, ".: Is a directory"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)
def test_failure_is_one_clear_message(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    answer = run(tmp_path, *arguments, STREAM_SERVER_PORT="1")
    assert answer.returncode == status
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_title_from_upload_to_removal(service: Service) -> None:
    client = {"HEADRACE_URL": service.url, "HEADRACE_USER": "ada"}
    here = service.directory

    sent = run(here, "upload", str(CLIP), "--watch", "--title", "A [red] title", **client)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.startswith(f"{service.url}/t/")
    assert "playable after" in sent.stderr

    listed = run(here, "media", "ls", **client)
    assert "A [red] title" in listed.stdout
    assert "ready" in listed.stdout
    media_id = listed.stdout.splitlines()[1].split()[0]
    assert "A [red] title" not in run(here, "media", "ls", "--user", "bob", **client).stdout

    shown = json.loads(run(here, "media", "show", media_id, **client).stdout)
    assert (shown["id"], shown["status"]) == (media_id, "ready")
    assert run(here, "playback", media_id, **client).stdout.startswith(f"{service.url}/t/")

    assert run(here, "media", "rm", media_id, **client).returncode == 0
    gone = run(here, "media", "show", media_id, **client)
    assert gone.returncode == 1
    assert "No such title" in gone.stderr


def test_upload_without_watch_prints_the_id(service: Service) -> None:
    sent = run(service.directory, "upload", str(CLIP), "--url", service.url)
    assert sent.returncode == 0, sent.stderr
    shown = run(service.directory, "media", "show", sent.stdout.strip(), "--url", service.url)
    assert json.loads(shown.stdout)["title"] == CLIP.stem


def test_upload_has_the_priority_that_it_is_given(service: Service) -> None:
    sent = run(service.directory, "upload", str(CLIP), "--priority", "low", "--url", service.url)
    shown = run(service.directory, "media", "show", sent.stdout.strip(), "--url", service.url)
    assert json.loads(shown.stdout)["priority"] == "low"


def test_file_that_cannot_be_encoded_fails_with_its_reason(service: Service) -> None:
    clip = str(MEDIA / "bad-bitstream.webm")
    sent = run(service.directory, "upload", clip, "--watch", "--url", service.url)
    assert sent.returncode == 1
    assert "encoding 'bad-bitstream' failed: " in sent.stderr
    assert sent.stdout == ""


def test_empty_file_is_refused_with_the_problem(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    sent = run(tmp_path, "upload", "empty.mp4", "--url", service.url)
    assert sent.returncode == 1
    assert "status 4" in sent.stderr
