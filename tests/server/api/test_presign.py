import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from server.api.presign import LIFETIME_S, SignedPuts
from server.problems import SignatureRefused
from stores.objects.base import Method, UploadRules
from tests.server.api.conftest import MAX_UPLOAD_BYTES
from tests.server.api.service import Server
from tests.service import until

PRESIGN = "/api/v1/upload/presign"
RULES = UploadRules(Method.PUT, max_bytes=7, size=None, content_type=None, lifetime_s=LIFETIME_S)


def presign(client: httpx.Client, **fields: object) -> dict[str, Any]:
    response = client.post(PRESIGN, json={"filename": "clip.mp4", **fields})
    assert response.status_code == 201, response.text
    presigned: dict[str, Any] = response.json()
    return presigned


def put_as_to_s3(presigned: dict[str, Any], content: bytes) -> httpx.Response:
    """Nothing of our API: the URL, the headers that came with it, the bytes."""
    return httpx.request(
        presigned["method"], presigned["url"], headers=presigned["headers"], content=content
    )


def confirm(client: httpx.Client, media_id: str) -> httpx.Response:
    return client.post(f"/api/v1/upload/{media_id}/confirm")


def problem_of(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    return response.status_code, problem["type"].removeprefix("urn:headrace:problem:")


def waiting_jobs(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    return sum(float(n) for n in re.findall(r'headrace_jobs{state="waiting-\w+"} (.+)', text))


def test_presigned_upload_becomes_a_queued_title(server: Server, client: httpx.Client) -> None:
    presigned = presign(client, title="T", description="D", content_type="audio/mp4", size=5)
    assert presigned["headers"] == {"Content-Type": "audio/mp4"}
    lifetime = datetime.fromisoformat(presigned["expires_at"]) - datetime.now(UTC)
    assert LIFETIME_S - 60 < lifetime.total_seconds() <= LIFETIME_S
    before = client.get(f"/api/v1/media/{presigned['id']}").json()
    assert (before["status"], before["type"]) == ("uploading", "audio")

    stored = put_as_to_s3(presigned, b"bytes")
    assert (stored.status_code, stored.content) == (200, b"")
    (signature,) = parse_qs(urlsplit(presigned["url"]).query)["signature"]
    log = server.data.parent / "server.log"
    until(lambda: f"/api/v1/upload/{presigned['id']}" in log.read_text())  # behind the answer
    assert signature not in log.read_text()
    assert re.fullmatch(r'"[^"]+"', stored.headers["ETag"])

    media = confirm(client, presigned["id"]).json()
    assert (media["status"], media["title"], media["description"]) == ("queued", "T", "D")
    assert media["source"]["size_bytes"] == 5
    assert (server.data / "objects" / "source" / media["id"]).read_bytes() == b"bytes"


def test_put_may_be_repeated_until_it_is_confirmed(server: Server, client: httpx.Client) -> None:
    presigned = presign(client)
    etags = [put_as_to_s3(presigned, content).headers["ETag"] for content in (b"one", b"other")]
    assert etags[0] != etags[1]
    assert confirm(client, presigned["id"]).json()["source"]["size_bytes"] == 5
    assert problem_of(put_as_to_s3(presigned, b"late")) == (409, "upload-closed")
    assert (server.data / "objects" / "source" / presigned["id"]).read_bytes() == b"other"


def test_confirming_twice_at_once_makes_one_job(client: httpx.Client) -> None:
    presigned = presign(client)
    put_as_to_s3(presigned, b"bytes")
    before = waiting_jobs(client)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: confirm(client, presigned["id"]), range(8)))
    assert [(a.status_code, a.json()["status"]) for a in answers] == [(200, "queued")] * 8
    assert waiting_jobs(client) - before == 1


def test_confirm_without_the_object_says_so(client: httpx.Client) -> None:
    presigned = presign(client)
    assert problem_of(confirm(client, presigned["id"])) == (409, "upload-missing")
    put_as_to_s3(presigned, b"")
    assert problem_of(confirm(client, presigned["id"])) == (422, "invalid-fields")
    put_as_to_s3(presigned, b"bytes")
    assert confirm(client, presigned["id"]).status_code == 200


def test_confirm_of_another_size_than_was_announced_says_so(
    server: Server, client: httpx.Client
) -> None:
    presigned = presign(client, size=5)
    assert client.get(f"/api/v1/media/{presigned['id']}").json()["source"]["size_bytes"] == 5
    put_as_to_s3(presigned, b"byte")
    refused = confirm(client, presigned["id"])
    assert problem_of(refused) == (422, "invalid-fields")
    assert "has 4 bytes, 5 were announced" in refused.json()["detail"]
    assert f"source/{presigned['id']}" not in server.objects()
    put_as_to_s3(presigned, b"bytes")
    assert confirm(client, presigned["id"]).status_code == 200


def test_confirm_of_too_large_an_object_removes_it(server: Server, client: httpx.Client) -> None:
    """A signed URL of another store cannot bound the size."""
    presigned = presign(client)
    path = server.data / "objects" / "source" / presigned["id"]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * (MAX_UPLOAD_BYTES + 1))
    assert problem_of(confirm(client, presigned["id"])) == (413, "too-large")
    assert not path.exists()
    assert problem_of(confirm(client, presigned["id"])) == (409, "upload-missing")


@pytest.mark.parametrize("media_id", ["0" * 24, "nope", "%2e%2e", "0" * 25, "Ä"])
def test_confirm_of_an_unknown_title_is_404(client: httpx.Client, media_id: str) -> None:
    assert problem_of(confirm(client, media_id)) == (404, "title-not-found")


def test_put_above_the_promised_size_is_refused(server: Server, client: httpx.Client) -> None:
    before = server.objects()
    presigned = presign(client, size=4)
    assert problem_of(put_as_to_s3(presigned, b"bytes")) == (413, "too-large")
    chunks = iter([b"by", b"tes"])
    streamed = httpx.put(presigned["url"], content=chunks)
    assert problem_of(streamed) == (413, "too-large")
    assert server.objects() == before


def test_put_to_a_deleted_title_is_404(server: Server, client: httpx.Client) -> None:
    before = server.objects()
    presigned = presign(client)
    client.delete(f"/api/v1/media/{presigned['id']}")
    assert problem_of(put_as_to_s3(presigned, b"bytes")) == (404, "title-not-found")
    assert server.objects() == before


@pytest.mark.parametrize(
    "change",
    [
        {"max": "999999999"},
        {"expires": "99999999999"},
        {"signature": "AAAA"},
        {"signature": "Ä"},
        {"signature": ""},
        {"expires": "soon", "max": "many"},
    ],
)
def test_changed_url_is_refused(
    server: Server, client: httpx.Client, change: dict[str, str]
) -> None:
    before = server.objects()
    presigned = presign(client)
    url = urlsplit(presigned["url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    changed = urlunsplit(url._replace(query=urlencode(query | change)))
    assert problem_of(httpx.put(changed, content=b"bytes")) == (403, "signature-refused")
    other = presign(client)
    moved = presigned["url"].replace(presigned["id"], other["id"])
    assert problem_of(httpx.put(moved, content=b"bytes")) == (403, "signature-refused")
    assert server.objects() == before


def test_expired_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = SignedPuts([b"k" * 32])
    target = signer.target("a" * 24, RULES, base_url="http://x")
    query = dict(pair.split("=") for pair in urlsplit(target.url).query.split("&"))
    assert signer.max_bytes("a" * 24, query) == 7
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME_S + 1)
    with pytest.raises(SignatureRefused, match="expired"):
        signer.max_bytes("a" * 24, query)


BAD_JSON = {
    "not JSON": (b"{", 400, "malformed", "not JSON"),
    "empty": (b"", 400, "malformed", "not JSON"),
    "a list": (b"[]", 422, "invalid-fields", "body: "),
    "no file name": (b"{}", 422, "invalid-fields", "filename: Field required"),
    "empty file name": (b'{"filename": ""}', 422, "invalid-fields", "filename: "),
    "unknown field": (b'{"filename": "a", "name": 1}', 422, "invalid-fields", "name: Extra"),
    "size of nothing": (b'{"filename": "a", "size": 0}', 422, "invalid-fields", "size: "),
    "a form to this server": (
        b'{"filename": "a", "method": "POST"}',
        422,
        "invalid-fields",
        "method: only PUT",
    ),
    "another method": (b'{"filename": "a", "method": "put"}', 422, "invalid-fields", "method: "),
    "size over the limit": (
        b'{"filename": "a", "size": 1000001}',
        413,
        "too-large",
        "size says 1000001",
    ),
    "huge number": (
        b'{"filename": "a", "size": ' + b"9" * 5000 + b"}",
        400,
        "malformed",
        "out of range",
    ),
    "title of 201": (
        b'{"filename": "a", "title": "' + b"t" * 201 + b'"}',
        422,
        "invalid-fields",
        "title: ",
    ),
    "wrong content type": (
        b'{"filename": "a", "content_type": "video"}',
        422,
        "invalid-fields",
        "content_type: ",
    ),
    "lone surrogate": (b'{"filename": "\\ud800"}', 400, "malformed", "not JSON"),
    "deep": (b"[" * 30_000, 400, "malformed", "not JSON"),
    "too long": (b'{"filename": "' + b"a" * 70_000 + b'"}', 413, "too-large", "65536 bytes"),
}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_is_refused(client: httpx.Client, case: str) -> None:
    body, status, name, detail = BAD_JSON[case]
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = client.post(PRESIGN, content=body, headers=headers)
    assert problem_of(response) == (status, name)
    assert detail in response.json()["detail"]


@pytest.mark.usefixtures("nothing_left")
def test_json_of_another_content_type_is_refused(client: httpx.Client) -> None:
    response = client.post(PRESIGN, content=b"{}", headers={"Content-Type": "text/plain"})
    assert problem_of(response) == (415, "wrong-content-type")


def test_every_mistake_is_told_with_its_field(client: httpx.Client) -> None:
    response = client.post(PRESIGN, json={"title": "t" * 201, "size": "many"})
    errors = response.json()["errors"]
    assert {error["field"] for error in errors} == {"filename", "title", "size"}
    assert all(error["message"] for error in errors)


def test_host_that_cannot_be_part_of_a_url_is_refused(client: httpx.Client) -> None:
    response = client.post(PRESIGN, json={"filename": "a"}, headers={"Host": "a/b?c"})
    assert problem_of(response) == (422, "invalid-fields")
