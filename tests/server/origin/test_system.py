import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.origin.stats import SERVER_METRICS
from tests.server.origin.served import LARGE, Server, serving, wait_until
from tests.service import Service, started, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("http1", tmp_path_factory.mktemp("system")) as server:
        yield server


CACHE = "headrace_origin_cache_"


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=60)


def samples(text: str) -> dict[str, dict[str, float]]:
    """By name without its prefix, and by process."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(CACHE)
            status_class = sample.labels.get("status_class", "")
            found.setdefault(name + status_class, {})[sample.labels.get("process", "")] = (
                sample.value
            )
    return found


def test_origin_says_that_it_lives(server: Server) -> None:
    for path in ("/health", "/ready", "/metrics"):
        answer = server.ask(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        head = server.ask(path, method="HEAD")
        assert (head.status, head.body) == (200, b"")
    assert server.ask("/health").body.startswith(b'{"status":"ok","name":"headrace"')


@pytest.mark.parametrize("path", ["/", "/healthy", "/metrics/", "//ready", "/v/health"])
def test_nothing_else_is_answered(server: Server, path: str) -> None:
    assert server.ask(path).status == 403


def test_questions_are_no_refusals(server: Server) -> None:
    refusals = samples(server.ask("/metrics").body.decode())["refusals_total"]
    server.ask("/health")
    assert samples(server.ask("/metrics").body.decode())["refusals_total"] == refusals
    server.ask("/t/")
    after = samples(server.ask("/metrics").body.decode())["refusals_total"]
    assert sum(after.values()) == sum(refusals.values()) + 1


def test_origin_without_its_store_lives_but_is_not_ready(server: Server) -> None:
    wait_until(lambda: server.ask("/ready").status == 200, "the store answers")
    (server.root / "objects").rename(server.root / "gone")
    try:
        wait_until(lambda: server.ask("/ready").status == 503, "the store is missed")
        assert b"mount its disk" in server.ask("/ready").body
        assert server.ask("/health").status == 200
    finally:
        (server.root / "gone").rename(server.root / "objects")
    wait_until(lambda: server.ask("/ready").status == 200, "the store answers again")


def test_whichever_process_is_asked_tells_of_all(tmp_path: Path) -> None:
    with started(tmp_path, command="origin", STREAM_ORIGIN_PROCESSES="3") as service:
        until(service.is_ready)
        for _ in range(30):
            assert get(f"{service.url}/t/").status_code == 403
        until(lambda: refusals(service) == 30)
        told = samples(get(f"{service.url}/metrics").text)
        measured = {metric.name + "_total" * metric.is_counter for metric in SERVER_METRICS}
        assert {name.removeprefix(CACHE) for name in measured} <= set(told)
        whole = {"headrace_build_info"}
        assert all(len(told[name]) == (1 if name in whole else 3) for name in told)
        assert sum(told["headrace_origin_requests_total4xx"].values()) == 30
        assert {"process_cpu_seconds_total", "process_open_fds"} <= set(told)


def test_bytes_of_answers_are_counted(server: Server) -> None:
    path = server.store("720p/00009-9.m4s", LARGE)
    before = sent_bytes(server)
    assert server.ask(path, method="HEAD").body == b""
    assert sent_bytes(server) - before < len(LARGE)
    before = sent_bytes(server)
    assert server.ask(path).body == LARGE
    assert 0 <= sent_bytes(server) - before - len(LARGE) < len(LARGE) // 2  # heads, and a scrape


def test_room_of_the_disk_cache_is_told(server: Server, tmp_path: Path) -> None:
    assert "headrace_disk_free_bytes" not in samples(server.ask("/metrics").body.decode())
    (tmp_path / "disk").touch()
    with serving("http1", tmp_path) as other:
        told = samples(other.ask("/metrics").body.decode())
        assert 0 < told["headrace_disk_free_bytes"][""] <= told["headrace_disk_size_bytes"][""]


def sent_bytes(server: Server) -> float:
    (count,) = samples(server.ask("/metrics").body.decode())[
        "headrace_origin_sent_bytes_total"
    ].values()
    return count


def test_open_connections_of_all_processes_are_counted(tmp_path: Path) -> None:
    with started(tmp_path, command="origin", STREAM_ORIGIN_PROCESSES="2") as service:
        until(service.is_ready)
        host, _, port = service.url.removeprefix("http://").partition(":")
        with ExitStack() as held:
            for _ in range(5):
                held.enter_context(socket.create_connection((host, int(port))))
            until(lambda: connections(service) == 5 + 1)  # and the one that asks
        until(lambda: connections(service) == 1)


def connections(service: Service) -> float:
    told = samples(get(f"{service.url}/metrics").text)
    return sum(told["headrace_origin_connections"].values())


def refusals(service: Service) -> float:
    return sum(samples(get(f"{service.url}/metrics").text)["refusals_total"].values())
