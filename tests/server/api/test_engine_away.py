"""What is answered while the job engine does not answer: its Redis is frozen."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil
import pytest

from tests.server.api.service import (
    Server,
    client_of,
    description_of,
    metric,
    player_page,
    running_server,
)
from tests.server.api.test_titles import playable


@dataclass(frozen=True)
class Answers:
    ready: httpx.Response
    metrics: httpx.Response
    uploaded: httpx.Response
    deleted: httpx.Response
    listed: httpx.Response
    played: list[httpx.Response]  # before the deletion, and after it


@contextmanager
def frozen_redis(server: Server) -> Iterator[None]:
    processes = psutil.Process(server.process.pid).children(recursive=True)
    (redis,) = (process for process in processes if process.name() == "redis-server")
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    folder = tmp_path_factory.mktemp("engine-away")
    with (
        running_server(folder, page=player_page(folder), writetimeout="3s") as server,
        client_of(server, description_of(server)) as client,
    ):
        media_id = playable(server, client)
        url = client.get(f"/api/v1/media/{media_id}/playback").json()["url"]
        played = [httpx.get(url)]
        requests = [
            ("GET", "/ready", None),
            ("GET", "/metrics", None),
            ("POST", "/api/v1/upload", {"file": b"bytes"}),
            ("DELETE", f"/api/v1/media/{media_id}", None),
        ]
        with frozen_redis(server), ThreadPoolExecutor(len(requests)) as pool:
            waiting = [pool.submit(client.request, m, p, files=f) for m, p, f in requests]
            ready, metrics, uploaded, deleted = (future.result() for future in waiting)
            played.append(httpx.get(url))
            yield Answers(ready, metrics, uploaded, deleted, client.get("/api/v1/media"), played)


def test_readiness_names_the_store_that_fails(answers: Answers) -> None:
    problem = answers.ready.json()
    assert (answers.ready.status_code, list(problem["checks"])) == (503, ["jobs"])
    assert problem["type"] == "urn:headrace:problem:not-ready"


def test_metrics_are_told_without_the_engine(answers: Answers) -> None:
    assert metric(answers.metrics.text, "headrace_jobs_up") == 0


def test_upload_is_kept_for_when_the_engine_is_back(answers: Answers) -> None:
    assert (answers.uploaded.status_code, answers.uploaded.json()["status"]) == (201, "queued")
    assert [item["id"] for item in answers.listed.json()["items"]] == [
        answers.uploaded.json()["id"]
    ]


def test_request_that_needs_the_engine_is_given_up(answers: Answers) -> None:
    assert answers.deleted.status_code == 503
    assert answers.deleted.json()["type"] == "urn:headrace:problem:answer-timeout"
    assert int(answers.deleted.headers["Retry-After"]) > 0


def test_title_whose_deletion_is_unfinished_is_not_served(answers: Answers) -> None:
    assert [answer.status_code for answer in answers.played] == [200, 404]
