"""Requests that are repeated with one Idempotency-Key."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.requests import Request

from media.asset import Asset, Status
from media.keys import source_key
from media.settings import Settings
from server.api.app import make_api
from server.api.bodies import UploadFields
from server.api.creation import MAX_KEY, create, idempotency_key, new_asset
from server.problems import Malformed
from server.tokens import TokenKeys
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Unavailable
from stores.jobs.base import Jobs
from stores.objects.base import ObjectWriter
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.server.api.description import Description
from tests.server.api.forms import CONTENT_TYPE, file_part, form, part
from tests.server.api.records import advance
from tests.server.api.service import Server, client_of, running_server
from tests.server.api.test_incoming import titles, upload_head, user_of, wait_for_titles
from tests.server.api.test_presign import PRESIGN, confirm, problem_of, put_as_to_s3

WAIT_S = 30
BIG_BYTES = 30 << 20


@pytest.fixture
def key() -> str:
    return str(uuid4())


def send(client: httpx.Client, key: str, content: bytes = b"bytes") -> httpx.Response:
    headers = {"Content-Type": CONTENT_TYPE, "Idempotency-Key": key}
    return client.post("/api/v1/upload", content=form([file_part(content)]), headers=headers)


def send_until_taken(client: httpx.Client, key: str) -> httpx.Response:
    """As a client does that heeds the answers."""
    deadline = time.monotonic() + WAIT_S
    while (response := send(client, key)).status_code == 409:
        assert problem_of(response) == (409, "upload-under-way")
        assert int(response.headers["Retry-After"]) > 0
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


def presign(client: httpx.Client, key: str, **fields: object) -> httpx.Response:
    body = {"filename": "clip.mp4", **fields}
    return client.post(PRESIGN, json=body, headers={"Idempotency-Key": key})


def header(*values: str) -> Request:
    headers = [(b"idempotency-key", value.encode("latin-1")) for value in values]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("YWJj+/8=", "YWJj+/8="),
        ("!#$%&'()*+-./:<=>?@[]^_`{|}~", "!#$%&'()*+-./:<=>?@[]^_`{|}~"),
        (r'"a \"b\" \\ c, d; e"', 'a "b" \\ c, d; e'),
        ("k" * MAX_KEY, "k" * MAX_KEY),
        (f'"{"k" * MAX_KEY}"', "k" * MAX_KEY),
    ],
)
def test_key_is_taken_with_and_without_quotation_marks(value: str, key: str) -> None:
    assert idempotency_key(header(value)) == key


def test_no_key_is_none() -> None:
    assert idempotency_key(header()) is None


@pytest.mark.parametrize(
    "values",
    [
        ("",),
        ('""',),
        ('"',),
        ('"a',),
        ('a"',),
        (r'"a\b"',),
        ("a b",),
        ("a,b",),
        ("a;b=1",),
        ("a\\b",),
        ("a\tb",),
        ("käse",),
        ("a", "a"),
        ("k" * (MAX_KEY + 1),),
        (f'"{"k" * (MAX_KEY + 1)}"',),
    ],
)
def test_what_is_no_key_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(Malformed, match="Idempotency-Key takes one key"):
        idempotency_key(header(*values))


@pytest.mark.usefixtures("nothing_left")
def test_upload_with_a_malformed_key_makes_nothing(client: httpx.Client) -> None:
    assert problem_of(send(client, "a b")) == (400, "malformed")
    assert problem_of(presign(client, "a b")) == (400, "malformed")


def test_repeated_upload_makes_one_title(server: Server, client: httpx.Client, key: str) -> None:
    first = send(client, key, b"first")
    stored = server.objects()
    again = send(client, f'"{key}"', b"again")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.headers["Location"] == again.headers["Location"]
    assert first.json() == again.json()
    assert server.objects() == stored
    source = server.data / "objects" / source_key(first.json()["id"])
    assert source.read_bytes() == b"first"
    assert titles(client) == ["queued"]


def test_repeated_upload_shows_how_far_the_title_is(
    server: Server, client: httpx.Client, key: str
) -> None:
    media_id = send(client, key).json()["id"]
    advance(server.data, media_id, Status.PROCESSING, Status.READY)
    again = send(client, key)
    assert (again.status_code, again.json()["status"]) == (201, "ready")


def test_key_is_its_users_own(
    server: Server, client: httpx.Client, description: Description, key: str
) -> None:
    with client_of(server, description) as other:
        ids = {send(user, key).json()["id"] for user in (client, other, client, other)}
    assert len(ids) == 2


def test_another_key_is_another_title(client: httpx.Client, key: str) -> None:
    assert send(client, key).json()["id"] != send(client, key + "2").json()["id"]


def test_simultaneous_uploads_with_one_key_make_one_title(
    server: Server, client: httpx.Client, key: str
) -> None:
    before = server.objects()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: send(client, key, bytes([n]) * 300_000), range(8)))
    taken = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert taken
    assert {problem_of(answer) for answer in refused} <= {(409, "upload-under-way")}
    (media_id,) = {answer.json()["id"] for answer in [*taken, send(client, key)]}
    assert titles(client) == ["queued"]
    assert server.objects() - before == {source_key(media_id)}


def test_upload_that_is_under_way_is_waited_for(
    server: Server, client: httpx.Client, key: str
) -> None:
    body = form([file_part(b"x" * 300_000)])
    with upload_head(server, user_of(client), len(body), **{"Idempotency-Key": key}) as connection:
        connection.sendall(body[:200_000])
        wait_for_titles(client, ["uploading"])
        refused = send(client, key)
        assert problem_of(refused) == (409, "upload-under-way")
        assert int(refused.headers["Retry-After"]) > 0
        connection.sendall(body[200_000:])
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 201 ")
    again = send(client, key).json()
    assert again["source"]["size_bytes"] == 300_000
    assert again["id"].encode() in answer


def test_upload_whose_client_went_away_begins_anew(
    server: Server, client: httpx.Client, key: str
) -> None:
    before = server.objects()
    with upload_head(server, user_of(client), 900_000, **{"Idempotency-Key": key}) as connection:
        connection.sendall(file_part(b"x" * 300_000)[:-2])
        wait_for_titles(client, ["uploading"])
    media = send_until_taken(client, key).json()
    assert titles(client) == ["queued"]
    assert server.objects() - before == {source_key(media["id"])}


def test_upload_that_was_refused_may_be_mended(client: httpx.Client, key: str) -> None:
    headers = {"Content-Type": CONTENT_TYPE, "Idempotency-Key": key}
    bad = form([file_part(b"bytes"), part("priority", b"utmost")])
    refused = client.post("/api/v1/upload", content=bad, headers=headers)
    assert problem_of(refused) == (422, "invalid-fields")
    assert send(client, key).status_code == 201
    assert titles(client) == ["queued"]


def test_title_that_was_deleted_is_made_anew(client: httpx.Client, key: str) -> None:
    first = send(client, key).json()["id"]
    assert client.delete(f"/api/v1/media/{first}").status_code == 204
    assert send(client, key).json()["id"] != first
    assert titles(client) == ["queued"]


def leave(server: Server, user: str, key: str, *, record: bool, expired: bool) -> Asset:
    """What a server that dies in the middle of an upload leaves in the catalog."""
    lease_s = -1 if expired else 300
    asset = new_asset(user, UploadFields(filename="a"), expires_in_s=lease_s)

    async def run() -> None:
        catalog = SqliteCatalog(server.data / "catalog.sqlite3")
        assert await catalog.claim_key(user, key, asset.id) == asset.id
        if record:
            await catalog.create(asset)
        await catalog.close()

    asyncio.run(run())
    return asset


def test_key_of_a_server_that_died_before_the_record_is_taken_over(
    server: Server, client: httpx.Client, key: str
) -> None:
    left = leave(server, user_of(client), key, record=False, expired=False)
    assert send(client, key).json()["id"] == left.id
    assert titles(client) == ["queued"]


def test_upload_of_a_server_that_died_is_taken_over_once_it_has_expired(
    server: Server, client: httpx.Client, key: str
) -> None:
    leave(server, user_of(client), key, record=True, expired=False)
    assert problem_of(send(client, key)) == (409, "upload-under-way")
    other = key + "2"
    left = leave(server, user_of(client), other, record=True, expired=True)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send_until_taken(client, other), range(8)))
    (media_id,) = {answer.json()["id"] for answer in answers}
    assert media_id != left.id
    assert titles(client).count("queued") == 1
    assert client.get(f"/api/v1/media/{left.id}").status_code == 404


def test_presigning_again_gives_another_url_of_the_same_title(
    client: httpx.Client, key: str
) -> None:
    first, again = presign(client, key), presign(client, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert titles(client) == ["uploading"]
    for answer in (first, again):
        assert put_as_to_s3(answer.json(), b"bytes").status_code == 200
    assert confirm(client, first.json()["id"]).status_code == 200
    assert problem_of(presign(client, key)) == (409, "upload-closed")


def test_simultaneous_presigning_with_one_key_makes_one_title(
    client: httpx.Client, key: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: presign(client, key), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert titles(client) == ["uploading"]


@pytest.mark.parametrize(
    "changed", [{"filename": "other.mp4"}, {"title": "T"}, {"size": 5}, {"content_type": "audio/x"}]
)
def test_key_of_another_presigned_upload_is_refused(
    client: httpx.Client, key: str, changed: dict[str, object]
) -> None:
    presign(client, key)
    assert problem_of(presign(client, key, **changed)) == (422, "key-reused")


def test_key_of_another_kind_of_request_is_refused(client: httpx.Client, key: str) -> None:
    send(client, key)
    assert problem_of(presign(client, key)) == (422, "key-reused")
    presign(client, other := key + "2")
    assert problem_of(send(client, other)) == (422, "key-reused")


def test_expired_url_with_a_key_is_asked_for_anew(
    server: Server, client: httpx.Client, key: str
) -> None:
    left = leave(server, user_of(client), key, record=True, expired=True)
    presigned = presign(client, key).json()
    assert presigned["id"] != left.id
    assert put_as_to_s3(presigned, b"bytes").status_code == 200


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("roomy")) as server:
        yield server


def test_client_that_is_still_sending_gets_the_answer(
    roomy: Server, description: Description, key: str
) -> None:
    with client_of(roomy, description) as client:
        answers = [send(client, key, bytes(BIG_BYTES)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_gets_the_answer(roomy: Server, tmp_path: Path, expect: str, key: str) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(BIG_BYTES))
    headers = ("-H", "X-User-ID: curl", "-H", f"Idempotency-Key: {key}", "-H", expect)
    told = ("-o", "/dev/null", "-w", "%{http_code} %{size_upload}")
    slow = ("--limit-rate", str(BIG_BYTES // 2))  # longer than a refused body is read
    command = [
        "curl",
        "-sS",
        *slow,
        *told,
        *headers,
        "-F",
        f"file=@{clip}",
        f"{roomy.url}/api/v1/upload",
    ]
    sent = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        status, size = done.stdout.split()
        assert (status, done.stderr) == ("201", "")
        sent.append(int(size))
    assert sent[0] > BIG_BYTES
    assert (sent[1] > BIG_BYTES) is ("100" not in expect)  # who asks first need not send it


class Away(FilesystemObjects):
    """It fails when an upload ends, and then cannot be reached at all."""

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectWriter]:
        async with super().writer(key) as writer:
            yield writer
            raise Unavailable("the store is away")

    async def delete(self, key: str) -> None:
        raise Unavailable("the store is away")


def test_key_is_free_even_if_what_failed_cannot_be_removed(tmp_path: Path, key: str) -> None:
    async def statuses() -> list[int]:
        objects, catalog = Away(tmp_path), SqliteCatalog(tmp_path / "catalog")
        api = make_api(Settings(), Stores(objects, catalog, Jobs()), TokenKeys({"k": bytes(32)}))
        headers = {"X-User-ID": "u", "Idempotency-Key": key}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as client:
            answers = [
                await client.post(
                    "http://test/api/v1/upload", files={"file": b"bytes"}, headers=headers
                )
                for _ in range(2)
            ]
        await objects.close()
        await catalog.close()
        return [answer.status_code for answer in answers]

    assert asyncio.run(statuses()) == [503, 503]


class Confirming(SqliteCatalog):
    """An upload that has expired is confirmed just after it was looked at."""

    async def get(self, media_id: str) -> Asset:
        found = await super().get(media_id)
        if found.status is Status.UPLOADING:
            await self.transition(media_id, Status.QUEUED)
        return found


def test_upload_that_is_confirmed_just_now_is_not_begun_anew(tmp_path: Path, key: str) -> None:
    upload = new_asset("u", UploadFields(filename="a"), expires_in_s=-1)

    async def scenario() -> tuple[Asset, bool]:
        catalog = Confirming(tmp_path / "catalog")
        await create(catalog, upload, key)
        again = new_asset("u", UploadFields(filename="a"), expires_in_s=1)
        found = await create(catalog, again, key)
        await catalog.close()
        return found

    found, is_new = asyncio.run(scenario())
    assert (found.id, found.status, is_new) == (upload.id, Status.QUEUED, False)
