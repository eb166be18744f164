import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from media.asset import Asset, Failure, Priority, Status
from media.keys import source_key
from media.plan import Plan
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Task, TaskFailed, TitleHandler
from stores.jobs.bull import BullJobs
from stores.jobs.embedded import EmbeddedRedis
from stores.jobs.worker import BullWorker
from tests.server.api.forms import CONTENT_TYPE, file_part, form, part
from tests.server.api.records import advance
from tests.server.api.service import Server, running_server
from tests.server.api.test_presign import confirm, presign, problem_of, put_as_to_s3
from tests.server.api.test_titles import upload
from tests.stores.catalog import titles

DEADLINE_S = 30
LOST = Failure("internal", "the work was lost", retryable=True)


def post(client: httpx.Client, media_id: str, what: str, **fields: object) -> httpx.Response:
    path = f"/api/v1/media/{media_id}/{what}"
    return client.post(path, json=fields) if fields else client.post(path)


def shown(client: httpx.Client, media_id: str) -> tuple[str, str]:
    media = client.get(f"/api/v1/media/{media_id}").json()
    return media["status"], media["priority"]


def waiting(client: httpx.Client) -> dict[str, float]:
    found = re.findall(r'headrace_jobs{state="waiting-(\w+)"} (.+)', client.get("/metrics").text)
    return {priority: float(number) for priority, number in found}


def more_waiting(client: httpx.Client, before: dict[str, float]) -> dict[str, float]:
    now = waiting(client)
    return {name: now[name] - before[name] for name in now if now[name] != before[name]}


def post_form(client: httpx.Client, *parts: bytes) -> httpx.Response:
    headers = {"Content-Type": CONTENT_TYPE}
    return client.post("/api/v1/upload", content=form(parts), headers=headers)


@pytest.mark.parametrize("file_first", [True, False])
@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_form_says_how_urgent_a_title_is(
    client: httpx.Client, priority: str, file_first: bool
) -> None:
    before = waiting(client)
    parts = [file_part(b"bytes"), part("priority", priority.encode())]
    media = post_form(client, *(parts if file_first else parts[::-1])).json()
    assert media["priority"] == priority
    assert shown(client, media["id"]) == ("queued", priority)
    assert more_waiting(client, before) == {priority: 1}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("priority", ["", "HIGH", "highest", "1"])
def test_form_with_another_priority_is_refused(client: httpx.Client, priority: str) -> None:
    answer = post_form(client, file_part(b"bytes"), part("priority", priority.encode()))
    assert problem_of(answer) == (422, "invalid-fields")
    assert "'high', 'normal' or 'low'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("presigned", "confirmed", "expected"),
    [
        ({}, None, "normal"),
        ({"priority": "low"}, None, "low"),
        ({"priority": "low"}, {}, "low"),
        ({"priority": "low"}, {"priority": None}, "low"),
        ({"priority": "low"}, {"priority": "high"}, "high"),
        ({}, {"priority": "low"}, "low"),
    ],
)
def test_presigned_upload_says_how_urgent_it_is(
    client: httpx.Client,
    presigned: dict[str, object],
    confirmed: dict[str, object] | None,
    expected: str,
) -> None:
    before = waiting(client)
    target = presign(client, **presigned)
    put_as_to_s3(target, b"bytes")
    path = f"/api/v1/upload/{target['id']}/confirm"
    answer = client.post(path) if confirmed is None else client.post(path, json=confirmed)
    assert (answer.status_code, answer.json()["priority"]) == (200, expected)
    assert more_waiting(client, before) == {expected: 1}


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"", 200),
        ("text/plain", b"{}", 415),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 422),
        ("application/json", b'{"priority": "utmost"}', 422),
        ("application/json", b'{"urgency": "high"}', 422),
        ("application/json", b'{"x": "' + b"a" * 70_000 + b'"}', 413),
    ],
)
def test_confirmation_takes_json_or_nothing(
    client: httpx.Client, content_type: str, body: bytes, status: int
) -> None:
    target = presign(client)
    put_as_to_s3(target, b"bytes")
    path = f"/api/v1/upload/{target['id']}/confirm"
    answer = client.post(path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert shown(client, target["id"])[0] == ("queued" if status == 200 else "uploading")


def test_priority_of_a_waiting_title_changes(client: httpx.Client) -> None:
    before = waiting(client)
    media_id = upload(client)["id"]
    for priority in ("high", "low", "low", "normal"):
        answer = post(client, media_id, "priority", priority=priority)
        assert (answer.status_code, answer.json()["priority"]) == (200, priority)
        assert shown(client, media_id) == ("queued", priority)
        assert more_waiting(client, before) == {priority: 1}


def test_priority_of_a_title_that_comes_yet_is_kept(client: httpx.Client) -> None:
    before = waiting(client)
    target = presign(client)
    assert post(client, target["id"], "priority", priority="high").status_code == 200
    put_as_to_s3(target, b"bytes")
    assert confirm(client, target["id"]).json()["priority"] == "high"
    assert more_waiting(client, before) == {"high": 1}


def test_priority_set_between_a_confirmation_and_its_job_holds(
    server: Server, client: httpx.Client
) -> None:
    before = waiting(client)
    target = presign(client)
    put_as_to_s3(target, b"bytes")
    advance(server.data, target["id"], Status.QUEUED)
    assert post(client, target["id"], "priority", priority="high").status_code == 200

    async def enqueue() -> None:
        jobs = BullJobs(EmbeddedRedis(server.data / "run").address)
        await jobs.enqueue(target["id"], Priority.NORMAL)
        await jobs.close()

    asyncio.run(enqueue())
    assert more_waiting(client, before) == {"high": 1}


FINISHED: dict[str, list[Status]] = {
    "ready": [Status.PROCESSING, Status.READY],
    "failed": [Status.FAILED],
}


@pytest.mark.parametrize("status", FINISHED)
def test_finished_title_has_no_priority_to_change(
    server: Server, client: httpx.Client, status: str
) -> None:
    media_id = upload(client)["id"]
    advance(server.data, media_id, *FINISHED[status], changes={"error": LOST})
    answer = post(client, media_id, "priority", priority="high")
    assert problem_of(answer) == (409, "title-finished")
    assert status in answer.json()["detail"]
    assert shown(client, media_id) == (status, "normal")


@pytest.mark.parametrize("fields", [{"priority": "utmost"}, {"priority": None}, {"x": 1}])
def test_priority_that_is_none_is_refused(client: httpx.Client, fields: dict[str, object]) -> None:
    answer = post(client, upload(client)["id"], "priority", **fields)
    assert problem_of(answer) == (422, "invalid-fields")


async def _in_catalog(server: Server, media_id: str) -> tuple[Asset, Plan | None]:
    catalog = SqliteCatalog(server.data / "catalog.sqlite3")
    try:
        return await catalog.get(media_id), await catalog.get_plan(media_id)
    finally:
        await catalog.close()


def failed(server: Server, client: httpx.Client, failure: Failure = LOST) -> str:
    media_id = str(upload(client)["id"])

    async def plan() -> None:
        catalog = SqliteCatalog(server.data / "catalog.sqlite3")
        await catalog.put_plan(media_id, titles.plan())
        await catalog.transition(media_id, Status.PROCESSING)
        await catalog.transition(
            media_id, Status.FAILED, {"error": failure, "playable": True, "progress": 0.5}
        )
        await catalog.close()

    asyncio.run(plan())
    return media_id


def test_failed_title_is_tried_again_from_where_it_failed(
    server: Server, client: httpx.Client
) -> None:
    media_id = failed(server, client)
    answer = post(client, media_id, "retry")
    media = answer.json()
    assert (answer.status_code, media["status"], media["error"]) == (200, "queued", None)
    assert (media["progress"], media["playable"], media["priority"]) == (0.5, True, "normal")
    asset, plan = asyncio.run(_in_catalog(server, media_id))
    assert plan is not None
    assert asset.version == plan.version


@pytest.mark.parametrize("code", ["bad_package", "outdated"])
def test_title_whose_plan_was_at_fault_is_planned_anew(
    server: Server, client: httpx.Client, code: str
) -> None:
    media_id = failed(server, client, Failure(code, "It is wrong.", retryable=False))
    media = post(client, media_id, "retry").json()
    assert (media["status"], media["progress"], media["playable"]) == ("queued", 0.0, False)
    asset, plan = asyncio.run(_in_catalog(server, media_id))
    assert (asset.version, plan) == (None, None)


def test_retry_may_change_the_priority(server: Server, client: httpx.Client) -> None:
    media_id = failed(server, client)
    before = waiting(client)
    assert post(client, media_id, "retry", priority="high").json()["priority"] == "high"
    # The job was never worked on here: it is replaced.
    assert more_waiting(client, before) == {"high": 1, "normal": -1}


@pytest.mark.parametrize("steps", [[], [Status.PROCESSING]])
def test_retry_of_an_unfinished_title_changes_nothing(
    server: Server, client: httpx.Client, steps: list[Status]
) -> None:
    media_id = upload(client)["id"]
    advance(server.data, media_id, *steps)
    before = client.get(f"/api/v1/media/{media_id}").json(), waiting(client)
    answer = post(client, media_id, "retry", priority="high")
    assert (answer.status_code, answer.json()) == (200, before[0])
    assert waiting(client) == before[1]


def test_retry_of_a_title_that_is_ready_is_refused(server: Server, client: httpx.Client) -> None:
    media_id = upload(client)["id"]
    advance(server.data, media_id, Status.PROCESSING, Status.READY)
    assert problem_of(post(client, media_id, "retry")) == (409, "title-finished")


def test_retry_of_a_title_that_has_not_come_is_refused(client: httpx.Client) -> None:
    assert problem_of(post(client, presign(client)["id"], "retry")) == (409, "upload-missing")


def test_retry_without_the_source_says_so(server: Server, client: httpx.Client) -> None:
    media_id = failed(server, client)
    (server.data / "objects" / source_key(media_id)).unlink()
    answer = post(client, media_id, "retry")
    assert problem_of(answer) == (409, "source-gone")
    assert "upload it again" in answer.json()["detail"]
    assert shown(client, media_id)[0] == "failed"


def test_retry_with_another_source_than_was_confirmed_says_so(
    server: Server, client: httpx.Client
) -> None:
    target = presign(client)
    put_as_to_s3(target, b"bytes")
    confirm(client, target["id"])
    advance(server.data, target["id"], Status.FAILED, changes={"error": LOST})
    (server.data / "objects" / source_key(target["id"])).write_bytes(b"other")
    answer = post(client, target["id"], "retry")
    assert problem_of(answer) == (409, "source-gone")
    assert "replaced" in answer.json()["detail"]


def test_simultaneous_retries_make_one_job(server: Server, client: httpx.Client) -> None:
    media_id = failed(server, client)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(client, media_id, "retry"), range(8)))
    assert [(a.status_code, a.json()["status"]) for a in answers] == [(200, "queued")] * 8
    assert post(client, media_id, "priority", priority="low").status_code == 200
    low = waiting(client)["low"]
    client.delete(f"/api/v1/media/{media_id}").raise_for_status()
    assert low - waiting(client)["low"] == 1


class Unlucky(TitleHandler):
    """Its first tasks fail, a task each run."""

    def __init__(self, catalog: SqliteCatalog, failures: int) -> None:
        self._catalog = catalog
        self._failures = failures
        self.ran: list[str] = []

    async def plan(self, media_id: str) -> Sequence[Task]:
        await self._catalog.transition(media_id, Status.PROCESSING)
        return [Task("video-00000", 0), Task("audio", 0)]

    async def run(self, media_id: str, task: Task) -> None:
        self.ran.append(task.name)
        if self._failures:
            self._failures -= 1
            raise TaskFailed(Failure("no_space", "The disk is full.", retryable=False))

    async def join(self, media_id: str) -> None:
        await self._catalog.transition(media_id, Status.READY, {"progress": 1.0})

    async def fail(self, media_id: str, failure: Failure) -> None:
        await self._catalog.transition(media_id, Status.FAILED, {"error": failure})


@asynccontextmanager
async def worker(server: Server, failures: int) -> AsyncIterator[None]:
    catalog = SqliteCatalog(server.data / "catalog.sqlite3")
    address = EmbeddedRedis(server.data / "run").address
    worker = BullWorker(address, Unlucky(catalog, failures), 2, DEADLINE_S)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await worker.drain(DEADLINE_S)
        await running
        await catalog.close()


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Server]:
    """With no other titles that a worker could take."""
    with running_server(tmp_path) as server:
        yield server


def test_retried_title_becomes_ready(quiet: Server) -> None:
    async def becomes(api: httpx.AsyncClient, path: str, status: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while (await api.get(path)).json()["status"] != status:
                await asyncio.sleep(0.02)

    async def scenario() -> None:
        headers = {"X-User-ID": "u"}
        async with (
            httpx.AsyncClient(base_url=quiet.url, headers=headers, timeout=DEADLINE_S) as api,
            worker(quiet, failures=2),
        ):
            answer = await api.post("/api/v1/upload", files={"file": b"bytes"})
            path = answer.headers["Location"]
            for _ in range(2):
                await becomes(api, path, "failed")
                assert (await api.get(path)).json()["error"]["code"] == "no_space"
                (await api.post(path + "/retry")).raise_for_status()
            await becomes(api, path, "ready")
            metrics = (await api.get("/metrics")).text
            assert 'headrace_jobs{state="failed"} 0.0' in metrics  # none in the new one's way

    asyncio.run(scenario())
