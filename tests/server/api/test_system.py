import platform
import re
from pathlib import Path

import httpx
import pytest

from tests.server.api.service import Server, metric, running_server
from tests.service import until


def test_health_and_readiness_need_no_user(client: httpx.Client) -> None:
    del client.headers["X-User-ID"]
    assert client.get("/health").json() == {
        "status": "ok",
        "name": "headrace",
        "version": "0.1.0",
        "environment": "development",
    }
    assert client.get("/ready").json() == {"status": "ready"}


def test_health_tells_what_the_configuration_calls_it(tmp_path: Path) -> None:
    called = {"name": "media", "version": "7.1", "environment": "staging"}
    with running_server(tmp_path, app=called) as server:
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok", **called}


def test_metrics_count_requests_jobs_and_the_origin(server: Server, client: httpx.Client) -> None:
    requests = (
        "headrace_http_request_duration_seconds_count"
        '{method="GET",route="/api/v1/media/{id}",status="404"}'
    )
    client.get("/api/v1/media/nope")
    before = client.get("/metrics").text
    client.get("/api/v1/media/nope")
    httpx.get(f"{server.url}/t/token/v/x")
    client.request("BREW", "/api/v1/media/nope")
    after = client.get("/metrics").text
    assert metric(after, requests) - metric(before, requests) == 1
    assert 'method="other"' in after
    assert "BREW" not in after
    assert metric(after, "headrace_jobs_up") == 1
    for priority in ("high", "normal", "low"):
        assert metric(after, f'headrace_jobs{{state="waiting-{priority}"}}') >= 0
        assert metric(after, f'headrace_queue_tasks{{priority="{priority}"}}') >= 0
        assert metric(after, f'headrace_queue_oldest_seconds{{priority="{priority}"}}') >= 0
    assert metric(after, "headrace_http_requests_in_progress") == 1  # the one that asks
    assert metric(after, "process_open_fds") > 1
    build = f'component="all",python="{platform.python_version()}",version="0.1.0"'
    assert metric(after, f"headrace_build_info{{{build}}}") == 1
    refused = 'headrace_origin_requests_total{status_class="4xx"}'
    assert metric(after, refused) - metric(before, refused) == 1
    for store in ("objects", "catalog"):
        assert metric(after, f'headrace_store_up{{store="{store}"}}') == 1
    size = metric(after, "headrace_disk_size_bytes")
    assert 0 < metric(after, "headrace_disk_free_bytes") <= size
    assert "# HELP headrace_origin_cache_hits_total Requests for objects" in after
    refusals = "headrace_origin_cache_refusals_total"
    assert metric(after, refusals) - metric(before, refusals) == 1


def test_store_that_does_not_answer_is_told_though_nobody_needs_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        (server.data / "objects").rename(server.data / "gone")
        told = httpx.get(f"{server.url}/metrics").text
        assert metric(told, 'headrace_store_up{store="objects"}') == 0
        assert metric(told, 'headrace_store_up{store="catalog"}') == 1
        assert metric(told, "headrace_jobs_up") == 1


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123.x", True), ("a b", False), ("x" * 65, False), ("", False)]
)
def test_request_id_is_kept_if_it_is_fit_for_a_log(
    client: httpx.Client, given: str, kept: bool
) -> None:
    answered = client.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert (answered == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answered)


def test_every_request_has_one_line_in_the_log(server: Server, client: httpx.Client) -> None:
    client.get("/health", headers={"X-Request-ID": "a-line-to-find"})
    log = server.data.parent / "server.log"
    until(lambda: "a-line-to-find" in log.read_text())  # it is written behind the answer
    (line,) = (line for line in log.read_text().splitlines() if "a-line-to-find" in line)
    for word in ("GET", "/health", "200"):
        assert word in line
