"""The steps of deployments/backup.md, on a service that runs."""

import shutil
import subprocess
from pathlib import Path

import httpx

from tests.service import Service, ready, run, until

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"
PAGE = Path(__file__).parents[2] / "deployments" / "backup.md"
BACKUP = """sqlite3 var/catalog.sqlite3 "VACUUM INTO 'catalog.backup'\""""
RESTORE = """rm -f var/catalog.sqlite3-wal var/catalog.sqlite3-shm
cp catalog.backup var/catalog.sqlite3"""
USER = {"X-User-ID": "local"}


def call(service: Service, method: str, path: str) -> httpx.Response:
    return httpx.request(method, f"{service.url}/api/v1{path}", headers=USER)


def made(service: Service, file: Path) -> str:
    """A new title, once it is ready."""
    with file.open("rb") as content:
        answer = httpx.post(
            f"{service.url}/api/v1/upload", files={"file": content}, headers=USER
        ).raise_for_status()
    media_id = str(answer.json()["id"])
    until(lambda: call(service, "GET", f"/media/{media_id}").json()["status"] == "ready")
    return media_id


def follow(directory: Path, step: str) -> None:
    assert all(line in PAGE.read_text() for line in step.splitlines()), step
    subprocess.run(step, shell=True, cwd=directory, check=True)


def plays(service: Service, media_id: str) -> int:
    return httpx.get(call(service, "GET", f"/media/{media_id}/playback").json()["url"]).status_code


def test_catalog_is_saved_while_it_is_used_and_what_came_after_is_found(tmp_path: Path) -> None:
    var = {"STREAM_DATA_DIR": "var", "STREAM_FFMPEG_PRESET": "ultrafast"}
    with ready(tmp_path, **var) as service:
        kept, deleted = made(service, CLIP), made(service, CLIP)
        follow(tmp_path, BACKUP)
        assert call(service, "DELETE", f"/media/{deleted}").is_success
        later = made(service, CLIP)
        service.stop()
    follow(tmp_path, RESTORE)

    with ready(tmp_path, **var) as service:
        assert plays(service, kept) == 200
        assert call(service, "GET", f"/media/{later}").status_code == 404
        listed = run(tmp_path, "collect", "--dry-run", **var).stdout
        assert f"source/{later}" in listed and f"v/{later}/" in listed
        assert kept not in listed

        original = tmp_path / "var" / "objects" / "source" / later
        shutil.copy(original, tmp_path / "again.webm")
        assert plays(service, made(service, tmp_path / "again.webm")) == 200

        assert plays(service, deleted) == 404
        table = run(tmp_path, "doctor", "--titles", COLUMNS="300", **var)
        assert table.returncode == 1
        (line,) = (line for line in table.stdout.splitlines() if f"title {deleted}" in line)
        assert f"headrace media rm {deleted} --user local" in line
        assert call(service, "DELETE", f"/media/{deleted}").is_success
        assert run(tmp_path, "doctor", "--titles", **var).returncode == 0
        service.stop()
