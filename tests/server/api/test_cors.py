from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.api.service import Server, running_server

STUDIO = "https://studio.example"
SIGNED = f"/api/v1/upload/{'0' * 24}"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("cors")
    with running_server(folder, corsorigins=[STUDIO]) as server:
        yield server


def preflight(server: Server, path: str, method: str, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type, x-user-id",
    }
    return httpx.options(server.url + path, headers=headers)


def allowed(response: httpx.Response) -> str | None:
    origin: str | None = response.headers.get("Access-Control-Allow-Origin")
    return origin


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v1/media", "GET"),
        ("/api/v1/media/x", "DELETE"),
        ("/api/v1/upload", "POST"),
        ("/api/v1/upload/presign", "POST"),
        (f"{SIGNED}/confirm", "POST"),
    ],
)
def test_only_pages_of_a_named_origin_may_call_the_api(
    server: Server, opened: Server, path: str, method: str
) -> None:
    assert allowed(preflight(server, path, method, STUDIO)) is None
    assert allowed(preflight(opened, path, method, "https://evil.example")) is None
    answer = preflight(opened, path, method, STUDIO)
    assert (answer.status_code, allowed(answer)) == (200, STUDIO)
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert "x-user-id" in answer.headers["Access-Control-Allow-Headers"].lower()


def test_only_pages_of_a_named_origin_may_read_an_answer(server: Server, opened: Server) -> None:
    def got(where: Server, origin: str) -> httpx.Response:
        return httpx.get(f"{where.url}/health", headers={"Origin": origin})

    assert allowed(got(server, STUDIO)) is None
    assert allowed(got(opened, "https://evil.example")) is None
    answer = got(opened, STUDIO)
    assert allowed(answer) == STUDIO
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]


def test_any_page_may_send_to_a_signed_url(server: Server, opened: Server) -> None:
    for where in (server, opened):
        answer = preflight(where, SIGNED, "PUT", "https://any.example")
        assert (answer.status_code, allowed(answer)) == (200, "*")
        refused = httpx.put(where.url + SIGNED, headers={"Origin": "https://any.example"})
        assert (refused.status_code, allowed(refused)) == (403, "*")


def test_any_page_may_report_with_a_playback_token(server: Server) -> None:
    answer = preflight(server, "/api/v1/cmcd", "POST", "https://any.example")
    assert (answer.status_code, allowed(answer)) == (200, "*")
