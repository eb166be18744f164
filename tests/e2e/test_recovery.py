"""Machines die in the middle of the work; the title still becomes ready, once."""

import signal
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e import playlist_rules, segment_rules
from tests.e2e.configurations import QUICK, Configuration, Embedded, Install
from tests.e2e.package import fetch_package
from tests.e2e.service import Service

CLIP = Path(__file__).parents[1] / "media" / "hevc-1080p30.mp4"


@pytest.fixture
def installation(install: Install, tmp_path: Path) -> Configuration:
    return Embedded(tmp_path, **QUICK) if install is Embedded else install(tmp_path)


def check_ready_once(service: Service, media_id: str) -> None:
    """Ready, correct, and nothing in the store that the package does not name."""
    title = service.wait(media_id)
    assert title["status"] == "ready", title["error"]
    with httpx.Client() as viewer:
        package = fetch_package(service.playback_url(media_id), viewer.get)
    for rule in (*segment_rules.RULES, *playlist_rules.RULES):
        rule(package)
    named = sum(2 + len(rendition.segments) for rendition in package.renditions) + 1
    assert len(service.published(media_id)) == named


@pytest.mark.parametrize("victim", ["worker", "redis-server"])
def test_title_survives_the_death_of(victim: str, installation: Configuration) -> None:
    with installation.running() as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
        assert service.title(media_id)["status"] == "processing"
        service.kill(victim)
        check_ready_once(service, media_id)


def test_work_goes_on_after_a_restart(installation: Configuration) -> None:
    with installation.running() as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
    with installation.running() as service:
        check_ready_once(service, media_id)


def test_nothing_is_left_when_all_is_killed(installation: Configuration) -> None:
    with installation.running(stop=signal.SIGKILL) as service:
        media_id = service.upload(CLIP)
        service.wait(media_id, until="playable")
        started = service.descendants()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    with installation.running() as service:
        check_ready_once(service, media_id)
