import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.origin.stats import METRICS
from tests.server.origin.served import Server, serving, wait_until
from tests.service import Service, started, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("http1", tmp_path_factory.mktemp("system")) as server:
        yield server


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=60)


def samples(text: str) -> dict[str, dict[str, float]]:
    """By name without its prefix, and by process."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("headrace_origin_cache_")
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
        assert {m.name + "_total" * m.is_counter for m in METRICS} <= set(told)
        whole = {"headrace_origin_connections", "headrace_build_info"}
        assert all(len(told[name]) == (1 if name in whole else 3) for name in told)
        assert sum(told["headrace_origin_requests_total4xx"].values()) == 30
        assert {"process_cpu_seconds_total", "process_open_fds"} <= set(told)


def test_open_connections_are_counted(tmp_path: Path) -> None:
    with started(tmp_path, command="origin") as service:
        until(service.is_ready)
        host, _, port = service.url.removeprefix("http://").partition(":")
        with ExitStack() as held:
            for _ in range(5):
                held.enter_context(socket.create_connection((host, int(port))))
            until(lambda: connections(service) == 5 + 1)  # and the one that asks
        until(lambda: connections(service) == 1)


def connections(service: Service) -> float:
    (count,) = samples(get(f"{service.url}/metrics").text)["headrace_origin_connections"].values()
    return count


def refusals(service: Service) -> float:
    return sum(samples(get(f"{service.url}/metrics").text)["refusals_total"].values())
