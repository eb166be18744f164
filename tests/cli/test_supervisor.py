import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.aws_local.servers import RedisServer
from tests.service import Service, living, ready, run, started, until

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"
USER = {"X-User-ID": "local"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """For tests that leave it running."""
    with ready(tmp_path_factory.mktemp("service")) as service:
        yield service
        children = service.children()
        assert service.stop() == 0
        assert living(children) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_service_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with ready(tmp_path) as service:
        until(lambda: f"Headrace is running\npage: {service.url}\n" in service.output())
        children = service.children()
        assert len(children) >= 4  # server, its worker process, worker, redis
        assert service.stop(number) == 0
        assert living(children) == []
    data = tmp_path / "data"
    assert [path for path in data.rglob("*") if path.is_socket()] == []
    assert list((data / "objects" / ".tmp").iterdir()) == []
    descriptor = os.open(data, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_page_api_and_origin_share_one_address(service: Service) -> None:
    assert "<html" in httpx.get(service.url).text
    assert httpx.get(f"{service.url}/openapi.json").json()["openapi"].startswith("3.1")
    assert httpx.get(f"{service.url}/v/none/none/index.m3u8").status_code == 403
    assert httpx.get(f"{service.url}/api/v1/media").status_code == 401


def test_port_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = run(tmp_path, "up", STREAM_SERVER_PORT=str(port))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"headrace: port {port} on 127.0.0.1 is in use; stop what listens there, "
        "or choose another with STREAM_SERVER_PORT\n"
    )


def test_second_service_on_the_same_data_is_refused(service: Service) -> None:
    answer = run(service.directory, "up")
    assert answer.returncode == 1
    assert "another `headrace up` runs on" in answer.stderr
    assert service.is_ready()


def test_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = run(tmp_path, "up", STREAM_DATA_DIR=str(tmp_path / "file" / "data"))
    assert answer.returncode == 1
    assert "file/data cannot be used: Not a directory" in answer.stderr


def test_clip_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    answer = run(tmp_path, "up", "--upload", "no.mp4")
    assert answer.returncode == 1
    assert answer.stderr == "headrace: no.mp4: there is no such file, or it cannot be read\n"
    assert not (tmp_path / "data").exists()


def test_mistakes_in_the_configuration_are_told_with_exit_code_2(tmp_path: Path) -> None:
    answer = run(tmp_path, "up", STREAM_SERVER_PRT="1", STREAM_LOG_LEVEL="loud")
    assert answer.returncode == 2
    assert answer.stderr.splitlines() == [
        "The configuration cannot be used:",
        "  STREAM_SERVER_PRT: no such setting; did you mean STREAM_SERVER_PORT?",
        "  log.level = 'loud' (from STREAM_LOG_LEVEL): "
        "expected 'debug', 'info', 'warning' or 'error'",
    ]


def test_mistake_that_only_a_child_finds_ends_the_service(tmp_path: Path) -> None:
    with started(tmp_path, STREAM_SIGNING_KEYS="{a: c2hvcnQ}") as service:
        assert service.process.wait(60) == 1
        assert "signing.keys: key 'a': expected at least 32 bytes, got 5" in service.output()
        assert "the server process cannot use its configuration" in service.output()


@pytest.mark.parametrize("name", ["worker", "serve", "redis-server"])
def test_killed_child_is_started_again(service: Service, name: str) -> None:
    until(lambda: service.child(name) is not None)
    child = service.child(name)
    assert child is not None
    descendants = child.children(recursive=True)
    child.kill()
    until(lambda: living(descendants) == [])
    until(lambda: service.child(name) not in (None, child))
    until(service.is_ready)


def test_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        children = service.children()
        service.process.kill()
        service.process.wait()
        until(lambda: living(children) == [])
    with ready(tmp_path) as service:
        assert service.stop() == 0


def test_restart_carries_on_with_unfinished_work(tmp_path: Path) -> None:
    with ready(tmp_path) as service:
        sent = run(tmp_path, "upload", str(CLIP), "--url", service.url)
        assert sent.returncode == 0, sent.stderr
        service.process.kill()
        service.process.wait()
    with ready(tmp_path) as service:
        title = f"{service.url}/api/v1/media/{sent.stdout.strip()}"
        until(lambda: httpx.get(title, headers=USER).json()["status"] == "ready")
        assert service.stop() == 0


def test_configured_redis_is_used_instead_of_a_private_one(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    redis = {"STREAM_REDIS_URL": redis_server.url, "STREAM_REDIS_PREFIX": tmp_path.name}
    with started(tmp_path, "--upload", str(CLIP), **redis) as service:
        until(lambda: "play it: " in service.output())
        assert f"jobs: Redis at redis://127.0.0.1:{redis_server.port}/0" in service.output()
        assert service.child("redis-server") is None
        children = service.children()
        assert service.stop() == 0
        assert living(children) == []


def test_clip_is_uploaded_and_its_playback_url_printed(tmp_path: Path) -> None:
    with started(tmp_path, "--upload", str(CLIP), "--title", "First") as service:
        until(lambda: "play it: " in service.output())
        url = service.output().partition("play it: ")[2].split()[0]
        assert httpx.get(url).text.startswith("#EXTM3U")
        assert service.is_ready()
        assert service.stop() == 0


def test_clip_that_cannot_be_uploaded_leaves_the_service_running(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with started(tmp_path, "--upload", "empty.mp4") as service:
        until(lambda: "empty.mp4: " in service.output())
        assert service.is_ready()
        assert service.stop() == 0


def test_second_interrupt_stops_at_once_what_is_being_encoded(tmp_path: Path) -> None:
    clip = CLIP.with_name("bbb-720p24-30s-vp8-vorbis.webm")
    with started(tmp_path, "--upload", str(clip)) as service:
        until(lambda: "playable after" in service.output())
        children = service.children()
        service.process.send_signal(signal.SIGINT)
        until(lambda: "stopping" in service.output())
        assert service.stop() == 0
        assert living(children) == []
