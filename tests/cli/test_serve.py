import signal
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.service import Service, free_port, living, ready, run, started, until

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"


def answers(service: Service, path: str, status: int) -> bool:
    assert service.process.poll() is None, service.output()
    try:
        return httpx.get(service.url + path).status_code == status
    except httpx.TransportError:
        return False


def test_parts_run_as_processes_of_their_own(tmp_path: Path) -> None:
    with (
        started(tmp_path, command="origin") as origin,
        started(tmp_path, "--page", command="api", STREAM_ORIGIN_PUBLICURL=origin.url) as api,
        started(tmp_path, command="worker") as worker,
    ):
        until(api.is_ready)
        page = httpx.get(api.url)
        assert "<html" in page.text
        assert f"connect-src 'self' {origin.url};" in page.headers["content-security-policy"]
        sent = run(tmp_path, "upload", str(CLIP), "--watch", "--url", api.url)
        assert sent.returncode == 0, sent.stderr
        url = sent.stdout.strip()
        assert url.startswith(f"{origin.url}/t/")
        path = url.removeprefix(origin.url)
        assert httpx.get(api.url + path).status_code == 404  # the origin is not its business

        until(lambda: answers(origin, path, 200))
        playlist = httpx.get(url)
        assert playlist.headers["Content-Type"] == "application/vnd.apple.mpegurl"
        assert playlist.text.startswith("#EXTM3U")
        assert answers(origin, path.replace("/t/", "/t/x"), 403)

        for service in (worker, origin, api):
            children = service.children()
            assert service.stop(signal.SIGTERM) == 0, service.output()
            assert living(children) == []


def test_connection_is_kept_for_the_configured_time(tmp_path: Path) -> None:
    with ready(tmp_path, STREAM_SERVER_READTIMEOUT="300ms") as service, httpx.Client() as client:
        first = client.get(f"{service.url}/health").extensions["network_stream"]
        until(lambda: first.get_extra_info("is_readable"))
        assert first.read(1) == b""  # closed by the server after it was idle


@pytest.mark.parametrize("role", ["api", "origin"])
def test_who_signs_or_verifies_needs_the_keys_of_all(role: str, tmp_path: Path) -> None:
    ended = run(tmp_path, role, STREAM_AWS_S3RAWBUCKET="raw", STREAM_AWS_S3PROCESSEDBUCKET="out")
    assert ended.returncode == 2
    assert "signing.keys must be set with aws.dynamodbtable or aws.s3rawbucket" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_api_alone_needs_the_private_key_of_cloudfront(tmp_path: Path) -> None:
    signed = {
        "STREAM_SIGNING_MODE": "cloudfront-cookie",
        "STREAM_SIGNING_CLOUDFRONTKEYID": "K2JCJMDEHXQW5F",
        "STREAM_AWS_CLOUDFRONTDOMAIN": "media.studio.example",
    }
    refused = run(tmp_path, "api", **signed)
    assert refused.returncode == 2
    assert "signing.mode cloudfront-cookie needs signing.cloudfrontkey" in refused.stderr
    with started(tmp_path, command="origin", **signed) as origin:
        until(lambda: answers(origin, "/health", 200))


def test_worker_needs_no_keys(tmp_path: Path, aws: dict[str, str]) -> None:
    made = run(tmp_path, "doctor", "--create", **aws)
    assert made.returncode == 0, made.stdout
    del aws["STREAM_SIGNING_KEYS"]
    port = free_port()
    with started(tmp_path, command="worker", STREAM_WORKER_METRICSPORT=str(port), **aws) as worker:
        listener = replace(worker, url=f"http://127.0.0.1:{port}")
        until(lambda: answers(listener, "/health", 200))
        assert worker.stop(signal.SIGTERM) == 0, worker.output()
