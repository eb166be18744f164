"""Short runs of the real harness on a real service. Locust patches the process that imports it, so
it stays in processes of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.load.astray import astray
from tests.service import Service, ready

ROOT = Path(__file__).parents[3]
CLIP = ROOT / "tests" / "media" / "edit-list-44100.mp4"
LIBRARY = {"X-User-ID": "load"}
ENCODED_S = 240
RUN_S = 240
GENEROUS = """
api_p99_ms = 60000
upload_p99_ms_per_mb = 60000
delete_p99_ms = 60000
playlist_p99_ms = 60000
init_p99_ms = 60000
segment_p99_ms = 60000
error_rate = 0
startup_p95_ms = 60000
rebuffering_ratio = 1
hit_ratio = 0
"""
IMPOSSIBLE = "hit_ratio = 2\nerror_rate = 0\n"
MEASURED = {
    "DELETE /media/{id}",
    "GET /media",
    "GET /media/{id}",
    "GET /media/{id}/playback",
    "GET init",
    "GET playlist",
    "GET segment 480p",
    "GET segment audio",
    "POST /cmcd",
    "POST /media/{id}/priority",
    "POST /upload",
    "upload ms per MB",
    "viewer played",
    "viewer start-up",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With a title to watch."""
    with ready(tmp_path_factory.mktemp("service")) as service:
        with httpx.Client(base_url=service.url, headers=LIBRARY, timeout=60) as client:
            with CLIP.open("rb") as file:
                title = client.post("/api/v1/upload", files={"file": (CLIP.name, file)}).json()
            deadline = time.monotonic() + ENCODED_S
            while client.get(f"/api/v1/media/{title['id']}").json()["status"] != "ready":
                assert time.monotonic() < deadline, service.output()
                time.sleep(0.1)
        yield service


def run(
    folder: Path, url: str, targets: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    (folder / "targets.toml").write_text(targets)
    command = [sys.executable, "-m", "bench.load", "--host", url, *arguments]
    command += ["--targets", str(folder / "targets.toml"), "--results", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    told = folder / "load.json"
    return done, json.loads(told.read_text()) if told.exists() else {}


def test_run_makes_every_kind_of_request_without_errors_and_keeps_its_targets(
    service: Service, tmp_path: Path
) -> None:
    arguments = ("--users", "6", "--operators", "2", "--duration", "12", "--processes", "2")
    done, told = run(tmp_path, service.url, GENEROUS, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {f"{row['kind']} {row['name']}": row["count"] for row in told["requests"]}
    assert {name for name, count in counts.items() if count} >= MEASURED
    assert sum(row["errors"] for row in told["requests"]) == 0
    assert told["missed"] == []
    assert all(figure is not None for figure in told["figures"].values())
    report = (tmp_path / "load.html").read_text()
    assert "segment 480p" in report

    names = {name.replace("segment 480p", "segment *") for name in counts}
    assert not any(re.search(r"[0-9a-f]{24}", name) for name in names)
    metrics = httpx.get(f"{service.url}/metrics").text
    played = re.findall(r"^headrace_viewer_played_seconds_total\{.*\} (\S+)$", metrics, re.M)
    assert sum(map(float, played)) > 0
    packages = service.directory / "data" / "objects" / "v"
    assert len(list(packages.iterdir())) == 1  # operators leave nothing


def test_target_that_is_missed_fails_the_run_and_is_named(service: Service, tmp_path: Path) -> None:
    arguments = ("--users", "3", "--operators", "0", "--duration", "5", "--shape", "flash")
    done, told = run(tmp_path, service.url, IMPOSSIBLE, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = told["missed"]
    assert re.fullmatch(r"hit_ratio: \S+, wanted at least 2", line)
    assert f"missed: {line}" in done.stderr


def test_nothing_is_sent_to_a_host_that_was_not_named(tmp_path: Path) -> None:
    arguments = ("--users", "2", "--operators", "0", "--duration", "4")
    with astray() as (named, elsewhere):
        done, _ = run(tmp_path, named.url, GENEROUS, *arguments)
        assert done.returncode != 0
        assert f"lead to {elsewhere.url}: name it" in done.stderr
        named.playback_host = named.url
        done, told = run(tmp_path, named.url, GENEROUS, *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert elsewhere.connections == 0
        assert named.connections > 0
        (playlists,) = (row for row in told["requests"] if row["name"] == "playlist")
        assert playlists["errors"] > 0
        assert "is elsewhere" in (tmp_path / "load.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--host", "127.0.0.1:8080"), "expected http://host:port"),
        (("--host", "http://127.0.0.1:8080/api"), "expected http://host:port"),
        (("--host", "http://127.0.0.1:1"), "does not answer"),
        (("--users", "2"), "leave no viewer"),
        (("--targets", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_mistake_is_told_before_anything_is_started(
    arguments: tuple[str, ...], complaint: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode != 0
    assert complaint in done.stderr
