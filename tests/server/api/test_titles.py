import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from media.asset import AssetType, Failure, RenditionInfo, SourceInfo, Status
from media.keys import media_prefix
from tests.server.api.description import Description
from tests.server.api.records import advance
from tests.server.api.service import Server, client_of
from tests.server.api.test_presign import problem_of

PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:7\n"


def upload(client: httpx.Client, title: str = "T") -> dict[str, Any]:
    response = client.post("/api/v1/upload", files={"file": b"bytes"}, data={"title": title})
    assert response.status_code == 201, response.text
    media: dict[str, Any] = response.json()
    return media


def playable(server: Server, client: httpx.Client) -> str:
    media_id = str(upload(client)["id"])
    changes: dict[str, object] = {"playable": True, "version": "v1", "progress": 0.5}
    advance(server.data, media_id, Status.PROCESSING, changes=changes)
    package = server.data / "objects" / media_prefix(media_id) / "v1"
    package.mkdir(parents=True)
    (package / "index.m3u8").write_bytes(PLAYLIST)
    return media_id


def next_millisecond() -> None:
    """The order of titles is that of milliseconds."""
    start = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == start:
        pass


def pages(client: httpx.Client, limit: int) -> list[list[str]]:
    found = []
    cursor: str | None = None
    while True:
        query = {"limit": str(limit), "cursor": cursor}
        page = client.get(
            "/api/v1/media", params={name: value for name, value in query.items() if value}
        ).json()
        found.append([item["title"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_own_titles_are_listed_newest_first_in_pages(client: httpx.Client) -> None:
    assert pages(client, 2) == [[]]
    for number in range(5):
        upload(client, f"{number}")
        next_millisecond()
    assert pages(client, 2) == [["4", "3"], ["2", "1"], ["0"]]
    assert pages(client, 100) == [["4", "3", "2", "1", "0"]]


def test_pages_hold_while_titles_come_and_go(client: httpx.Client) -> None:
    ids = []
    for number in range(4):
        ids.append(upload(client, f"{number}")["id"])
        next_millisecond()
    first = client.get("/api/v1/media", params={"limit": 2}).json()
    client.delete(f"/api/v1/media/{ids[2]}")
    upload(client, "new")
    second = client.get("/api/v1/media", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["title"] for item in second["items"]] == ["1", "0"]


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("limit=0", 422, "invalid-fields"),
        ("limit=101", 422, "invalid-fields"),
        ("limit=-1", 422, "invalid-fields"),
        ("limit=ten", 422, "invalid-fields"),
        ("limit=%D9%A3", 422, "invalid-fields"),
        ("limit=", 422, "invalid-fields"),
        ("cursor=nonsense", 400, "invalid-cursor"),
        ("cursor=", 400, "invalid-cursor"),
        ("cursor=%00", 400, "invalid-cursor"),
        ("cursor=" + "A" * 513, 422, "invalid-fields"),
    ],
)
def test_malformed_paging_is_refused(
    client: httpx.Client, query: str, status: int, name: str
) -> None:
    assert problem_of(client.get(f"/api/v1/media?{query}")) == (status, name)


USER_ROUTES = [
    ("GET", "/api/v1/media"),
    ("GET", "/api/v1/media/{id}"),
    ("GET", "/api/v1/media/{id}/playback"),
    ("DELETE", "/api/v1/media/{id}"),
    ("POST", "/api/v1/upload"),
    ("POST", "/api/v1/upload/presign"),
    ("POST", "/api/v1/upload/{id}/confirm"),
    ("POST", "/api/v1/media/{id}/priority"),
    ("POST", "/api/v1/media/{id}/retry"),
]


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
@pytest.mark.parametrize("user", [None, "", "a" * 129, "käse".encode("latin-1"), b"a\tb"])
def test_request_without_a_valid_user_is_401(
    server: Server, description: Description, method: str, path: str, user: str | bytes | None
) -> None:
    headers = (
        {} if user is None else {b"X-User-ID": user if isinstance(user, bytes) else user.encode()}
    )
    response = httpx.request(method, server.url + path.format(id="0" * 24), headers=headers)
    description.check(response)
    assert problem_of(response) == (401, "user-missing")
    assert response.headers["WWW-Authenticate"] == "X-User-ID"


def test_two_users_in_one_request_are_none(server: Server) -> None:
    headers = [("X-User-ID", "a"), ("X-User-ID", "b")]
    assert problem_of(httpx.get(f"{server.url}/api/v1/media", headers=headers))[0] == 401


def test_title_of_another_user_does_not_exist(
    server: Server, client: httpx.Client, description: Description
) -> None:
    media_id = playable(server, client)
    with client_of(server, description) as other:
        assert other.get("/api/v1/media").json()["items"] == []
        for method, path in USER_ROUTES:
            if "{id}" in path:
                response = other.request(method, path.format(id=media_id))
                assert problem_of(response) == (404, "title-not-found")
    assert client.get(f"/api/v1/media/{media_id}").status_code == 200


@pytest.mark.parametrize("media_id", ["0" * 24, "nope", "%2e%2e", "a%00b", "0" * 200, "Ä", "'"])
def test_unknown_title_is_404(client: httpx.Client, media_id: str) -> None:
    for method, path in USER_ROUTES:
        if "{id}" in path:
            response = client.request(method, path.format(id=media_id))
            assert problem_of(response) == (404, "title-not-found")


def test_everything_known_of_a_title_is_shown(server: Server, client: httpx.Client) -> None:
    media_id = str(upload(client)["id"])
    source = SourceInfo("mp4", 5, 12.5, "h264", "aac", 1920, 1080, 29.97, 2, 48_000)
    rendition = RenditionInfo("720p", AssetType.VIDEO, "avc1.64001f", 1280, 720, 29.97, 9, 8)
    advance(
        server.data,
        media_id,
        Status.PROCESSING,
        Status.READY,
        changes={
            "source": source,
            "renditions": (rendition,),
            "duration_s": 12.5,
            "progress": 1.0,
            "playable": True,
            "version": "v1",
        },
    )
    media = client.get(f"/api/v1/media/{media_id}").json()
    assert (media["status"], media["progress"], media["duration_s"]) == ("ready", 1.0, 12.5)
    assert media["source"]["video_codec"] == "h264"
    assert media["source"]["frame_rate"] == 29.97
    assert media["renditions"] == [
        {
            "name": "720p",
            "type": "video",
            "codecs": "avc1.64001f",
            "width": 1280,
            "height": 720,
            "frame_rate": 29.97,
            "peak_bit_rate": 9,
            "average_bit_rate": 8,
        }
    ]


def test_playback_url_plays(server: Server, client: httpx.Client) -> None:
    media_id = playable(server, client)
    playback = client.get(f"/api/v1/media/{media_id}/playback").json()
    assert playback["type"] == "application/vnd.apple.mpegurl"
    lifetime = datetime.fromisoformat(playback["expires_at"]) - datetime.now(UTC)
    assert 6 * 3600 - 60 < lifetime.total_seconds() <= 6 * 3600
    assert playback["url"].startswith(f"{server.url}/t/")
    answer = httpx.get(playback["url"])
    assert (answer.status_code, answer.content) == (200, PLAYLIST)


def test_playback_of_what_cannot_be_played_yet_asks_for_patience(client: httpx.Client) -> None:
    response = client.get(f"/api/v1/media/{upload(client)['id']}/playback")
    assert problem_of(response) == (409, "not-playable")
    assert int(response.headers["Retry-After"]) > 0


def test_playback_of_a_failed_title_says_why(server: Server, client: httpx.Client) -> None:
    media_id = playable(server, client)
    failure = Failure("no-media", "The file holds no picture and no sound.", retryable=False)
    advance(server.data, media_id, Status.FAILED, changes={"error": failure})
    response = client.get(f"/api/v1/media/{media_id}/playback")
    assert problem_of(response) == (409, "title-failed")
    assert response.json()["detail"] == failure.message
    assert "Retry-After" not in response.headers
    media = client.get(f"/api/v1/media/{media_id}").json()
    assert media["playable"] is False
    assert media["error"] == {"code": "no-media", "message": failure.message, "retryable": False}


def test_delete_removes_everything(server: Server, client: httpx.Client) -> None:
    before = server.objects()
    media_id = playable(server, client)
    url = client.get(f"/api/v1/media/{media_id}/playback").json()["url"]
    assert httpx.get(url).status_code == 200  # in the origin's cache from now on

    assert client.delete(f"/api/v1/media/{media_id}").status_code == 204
    assert server.objects() == before
    assert client.get("/api/v1/media").json()["items"] == []
    assert httpx.get(url).status_code == 404
    assert problem_of(client.delete(f"/api/v1/media/{media_id}")) == (404, "title-not-found")


def test_title_being_deleted_is_not_shown(server: Server, client: httpx.Client) -> None:
    media_id = str(upload(client)["id"])
    advance(server.data, media_id, Status.DELETING)
    assert client.get("/api/v1/media").json()["items"] == []
    assert problem_of(client.get(f"/api/v1/media/{media_id}"))[0] == 404
