"""Things that go wrong and are tried again, by the command's means."""

import json
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.service import Service, run, started, until

MEDIA = Path(__file__).parents[1] / "media"
CLIP = MEDIA / "odd-161x121-vp9.webm"
BREAKS_AFTER_BYTES = 100_000


def media(service: Service, *arguments: str) -> str:
    done = run(service.directory, "media", *arguments, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def shown(service: Service, media_id: str) -> tuple[str, str]:
    title = json.loads(media(service, "show", media_id))
    return title["status"], title["priority"]


def test_failed_title_is_retried_and_becomes_ready(tmp_path: Path) -> None:
    with started(tmp_path, command="api") as service:
        until(service.is_ready)
        sent = run(tmp_path, "upload", str(CLIP), "--url", service.url)
        media_id = sent.stdout.strip()
        media(service, "priority", media_id, "high")
        assert shown(service, media_id) == ("queued", "high")
        assert "queued, high" in " ".join(media(service, "ls").split())

        source = tmp_path / "data" / "objects" / "source" / media_id
        source.rename(tmp_path / "away")
        with started(tmp_path, command="worker"):
            until(lambda: shown(service, media_id)[0] == "failed")
            refused = run(tmp_path, "media", "retry", media_id, "--url", service.url)
            assert refused.returncode == 1
            assert "The uploaded file is not there any more" in refused.stderr

            (tmp_path / "away").rename(source)
            assert media(service, "retry", media_id, "--priority", "low") == "queued, low"
            until(lambda: shown(service, media_id) == ("ready", "low"))
            assert run(tmp_path, "media", "retry", media_id, "--url", service.url).returncode == 1


def relay(source: socket.socket, to: socket.socket, limit: float = math.inf) -> None:
    while limit > 0 and (data := source.recv(65536)):
        to.sendall(data)
        limit -= len(data)


def pass_on(client: socket.socket, service: socket.socket) -> None:
    """Until the client has had enough."""
    answers = threading.Thread(target=relay, args=(service, client))
    answers.start()
    relay(client, service)
    service.shutdown(socket.SHUT_RDWR)
    answers.join()


@contextmanager
def breaking_proxy(service: Service, breaks: int) -> Iterator[str]:
    """Cuts its first connections in the middle of what they send."""
    url = httpx.URL(service.url)

    def serve() -> None:
        for number in range(breaks + 1):
            client, _ = proxy.accept()
            with client, socket.create_connection((url.host, url.port or 80)) as onward:
                if number < breaks:
                    relay(client, onward, BREAKS_AFTER_BYTES)
                else:
                    pass_on(client, onward)

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{proxy.getsockname()[1]}"
        thread.join()


def test_upload_over_a_breaking_connection_makes_one_title(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(10 * BREAKS_AFTER_BYTES))
    with started(tmp_path, command="api") as service:
        until(service.is_ready)
        with breaking_proxy(service, breaks=2) as url:
            sent = run(tmp_path, "upload", str(clip), "--url", url)
        assert sent.returncode == 0, sent.stderr
        assert sent.stderr.count("sending clip.mp4 again") == 2
        assert shown(service, sent.stdout.strip()) == ("queued", "normal")
        assert media(service, "ls").count("queued") == 1
        with breaking_proxy(service, breaks=3) as url:
            lost = run(tmp_path, "upload", str(clip), "--url", url)
            httpx.get(url)  # the proxy waits for one more
        assert lost.returncode == 1
        assert "the connection to" in lost.stderr
