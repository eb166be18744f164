import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from media.keys import source_key
from tests.server.api.conftest import MAX_UPLOAD_BYTES
from tests.server.api.forms import BOUNDARY, CONTENT_TYPE, file_part, form, part
from tests.server.api.service import Server

PROBLEM = "urn:headrace:problem:"


def post_form(
    client: httpx.Client, body: bytes, content_type: str = CONTENT_TYPE
) -> httpx.Response:
    return client.post("/api/v1/upload", content=body, headers={"Content-Type": content_type})


def test_upload_answers_with_the_queued_title(client: httpx.Client, data_dir: Path) -> None:
    content = bytes(range(256)) * 1000
    parts = [part("title", b" A clip "), part("description", "Zwei\nZeilen é".encode())]
    response = post_form(client, form([*parts, file_part(content)]))

    media = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/media/{media['id']}"
    created = datetime.fromisoformat(media.pop("created_at"))
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert datetime.fromisoformat(media.pop("updated_at")) >= created
    source = {name: value for name, value in media.pop("source").items() if value is not None}
    assert source == {"filename": "clip.mp4", "size_bytes": len(content)}
    assert media == {
        "id": media["id"],
        "title": "A clip",
        "description": "Zwei\nZeilen é",
        "type": "video",
        "status": "queued",
        "priority": "normal",
        "playable": False,
        "progress": 0.0,
        "duration_s": None,
        "renditions": [],
        "error": None,
        "warnings": [],
    }
    assert (data_dir / "objects" / source_key(media["id"])).read_bytes() == content
    assert client.get(response.headers["Location"]).json()["id"] == media["id"]


@pytest.mark.parametrize("order", ["file first", "file between", "file last"])
def test_upload_takes_its_parts_in_any_order(client: httpx.Client, order: str) -> None:
    title, description = part("title", b"T"), part("description", b"D")
    file = file_part(b"bytes")
    parts = {
        "file first": [file, title, description],
        "file between": [description, file, title],
        "file last": [title, description, file],
    }[order]
    media = post_form(client, form(parts)).json()
    assert (media["title"], media["description"]) == ("T", "D")


@pytest.mark.parametrize(
    ("filename", "content_type", "title", "shown_type"),
    [
        ("holiday.2024.mp4", "video/mp4", "holiday.2024", "video"),
        ("song.mp3", "application/octet-stream", "song", "audio"),
        ("song.bin", "audio/flac", "song", "audio"),
        ("C:\\clips\\a.webm", "video/webm", "a", "video"),
        ("../../etc/passwd", "application/octet-stream", "passwd", "video"),
        ("", "application/octet-stream", "Untitled", "video"),
    ],
)
def test_upload_without_a_title_is_named_by_its_file(
    client: httpx.Client, filename: str, content_type: str, title: str, shown_type: str
) -> None:
    file = part("file", b"bytes", f"Content-Type: {content_type}", filename=filename)
    media = post_form(client, form([file])).json()
    assert (media["title"], media["type"]) == (title, shown_type)


FILE = file_part(b"bytes")
LONG_HEADER = part("title", b"T", "X-Long: " + "x" * 5000)
BAD_FORMS = {
    "no part": (form([]), 422, "invalid-fields", "file: is missing"),
    "no file part": (form([part("title", b"T")]), 422, "invalid-fields", "file: is missing"),
    "empty file": (form([file_part(b"")]), 422, "invalid-fields", "file: is empty"),
    "second file": (form([FILE, FILE]), 422, "invalid-fields", "file: was sent twice"),
    "second title": (
        form([part("title", b"1"), FILE, part("title", b"2")]),
        422,
        "invalid-fields",
        "title: was sent twice",
    ),
    "unknown field": (form([FILE, part("name", b"T")]), 422, "invalid-fields", "name: no such"),
    "long title": (
        form([FILE, part("title", b"t" * 201)]),
        422,
        "invalid-fields",
        "title: String should have at most 200 characters",
    ),
    "endless title": (
        form([FILE, part("title", b"t" * 40_000)]),
        422,
        "invalid-fields",
        "title: has more than 32768 bytes",
    ),
    "long description": (
        form([FILE, part("description", b"d" * 5001)]),
        422,
        "invalid-fields",
        "description: String should have at most 5000 characters",
    ),
    "control character in the title": (
        form([FILE, part("title", b"a\x00b")]),
        422,
        "invalid-fields",
        "title: ",
    ),
    "long file name": (
        form([file_part(b"bytes", "n" * 256)]),
        422,
        "invalid-fields",
        "filename: String should have at most 255 characters",
    ),
    "title not UTF-8": (
        form([FILE, part("title", b"\xff")]),
        400,
        "malformed",
        "title is not UTF-8",
    ),
    "no closing boundary": (FILE, 400, "malformed", "ends before its closing boundary"),
    "truncated in the file": (form([FILE])[:-40], 400, "malformed", "ends before"),
    "empty body": (b"", 400, "malformed", "ends before its closing boundary"),
    "not multipart at all": (b"hello", 400, "malformed", "The multipart body is broken"),
    "another boundary": (
        form([FILE]).replace(BOUNDARY.encode(), b"other"),
        400,
        "malformed",
        "The multipart body is broken",
    ),
    "part without a name": (
        f"--{BOUNDARY}\r\nContent-Type: video/mp4\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        400,
        "malformed",
        "no Content-Disposition",
    ),
    "broken header": (
        f"--{BOUNDARY}\r\nCont(ent: x\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        400,
        "malformed",
        "invalid character",
    ),
    "long header": (form([FILE, LONG_HEADER]), 400, "malformed", "Maximum header size exceeded"),
    "many headers": (
        form([FILE, part("title", b"T", *[f"X-{n}: x" for n in range(9)])]),
        400,
        "malformed",
        "Maximum header count exceeded",
    ),
    "many parts": (form([FILE] * 17), 400, "malformed", "more than 16 parts"),
    "file over the limit": (
        form([file_part(b"x" * (MAX_UPLOAD_BYTES + 1))]),
        413,
        "too-large",
        f"The file may have {MAX_UPLOAD_BYTES} bytes",
    ),
    "body over the limit": (
        form([file_part(b"x" * (MAX_UPLOAD_BYTES + 300_000))]),
        413,
        "too-large",
        "Content-Length says more",
    ),
}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("case", BAD_FORMS)
def test_bad_form_is_refused_and_leaves_nothing(client: httpx.Client, case: str) -> None:
    body, status, name, detail = BAD_FORMS[case]
    response = post_form(client, body)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, PROBLEM + name)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert detail in problem["detail"]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("content_type", "status", "detail"),
    [
        ("application/json", 415, "got application/json"),
        ("", 415, "got none"),
        ("multipart/mixed; boundary=x", 415, "got multipart/mixed"),
        ("multipart/form-data", 400, "needs a boundary"),
        ("multipart/form-data; boundary=", 400, "needs a boundary"),
        (f"multipart/form-data; boundary={'b' * 71}", 400, "boundary of 1 to 70"),
    ],
)
def test_upload_of_another_content_type_is_refused(
    client: httpx.Client, content_type: str, status: int, detail: str
) -> None:
    response = post_form(client, form([FILE]), content_type)
    assert (response.status_code, detail in response.json()["detail"]) == (status, True)


@pytest.mark.usefixtures("nothing_left")
def test_chunked_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    body = [file_part(b"")[:-2], *[b"x" * 65536] * 40]
    response = client.post(
        "/api/v1/upload", content=iter(body), headers={"Content-Type": CONTENT_TYPE}
    )
    assert response.status_code == 413


def test_file_of_just_the_limit_is_taken(client: httpx.Client) -> None:
    media = post_form(client, form([file_part(b"x" * MAX_UPLOAD_BYTES)])).json()
    assert media["source"]["size_bytes"] == MAX_UPLOAD_BYTES


def test_file_may_contain_what_looks_like_a_boundary(client: httpx.Client, data_dir: Path) -> None:
    content = f"\r\n--{BOUNDARY}x\r\n--{BOUNDARY[:-1]}\r\n\r\n--".encode() * 100
    media = post_form(client, form([file_part(content)])).json()
    assert (data_dir / "objects" / source_key(media["id"])).read_bytes() == content


def test_simultaneous_uploads_do_not_mix(client: httpx.Client, data_dir: Path) -> None:
    contents = [bytes([n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda c: post_form(client, form([file_part(c)])), contents))
    ids = [answer.json()["id"] for answer in answers]
    stored = [(data_dir / "objects" / source_key(media_id)).read_bytes() for media_id in ids]
    assert stored == contents


def test_upload_is_counted(server: Server, client: httpx.Client) -> None:
    def counted() -> float:
        match = re.search(r"^headrace_upload_bytes_total (.+)$", client.get("/metrics").text, re.M)
        assert match is not None
        return float(match[1])

    before = counted()
    post_form(client, form([file_part(b"x" * 1234)]))
    assert counted() - before == 1234
