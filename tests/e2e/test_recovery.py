"""Machines die in the middle of the work; the title still becomes ready, once."""

import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e import playlist_rules, segment_rules
from tests.e2e.package import fetch_package
from tests.e2e.service import Service, running_service

CLIP = Path(__file__).parents[1] / "media" / "hevc-1080p30.mp4"


def process(service: Service, word: str) -> psutil.Process:
    """The running process whose command line has this word, below `headrace up`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(service.process.pid).children(recursive=True):
            try:
                words = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if any(word in Path(part.split(" ")[0]).name for part in words[:5]):
                return child
        time.sleep(0.05)
    raise AssertionError(f"no {word} process")


def check_ready_once(service: Service, media_id: str) -> None:
    """Ready, correct, and nothing in the store that the package does not name."""
    title = service.wait(media_id)
    assert title["status"] == "ready", title["error"]
    with httpx.Client() as viewer:
        package = fetch_package(service.playback_url(media_id), viewer.get)
    for rule in (*segment_rules.RULES, *playlist_rules.RULES):
        rule(package)
    named = sum(2 + len(rendition.segments) for rendition in package.renditions) + 1
    stored = [p for p in (service.data / "objects").rglob("*") if p.is_file() and "/v/" in str(p)]
    assert len([p for p in stored if media_id in str(p)]) == named


@pytest.mark.parametrize("victim", ["worker", "redis-server"])
def test_title_survives_the_death_of(victim: str, tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
        assert service.title(media_id)["status"] == "processing"
        process(service, victim).kill()
        check_ready_once(service, media_id)


def test_work_goes_on_after_a_restart(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
    with running_service(tmp_path / "data") as service:
        check_ready_once(service, media_id)


def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", stop=signal.SIGKILL) as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
        started = psutil.Process(service.process.pid).children(recursive=True)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    with running_service(tmp_path / "data") as service:
        check_ready_once(service, media_id)
