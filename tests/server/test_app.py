from pathlib import Path

import httpx
import pytest

from media.settings import Settings
from server.app import create_app
from tests.server.api.service import Server, player_page, running_server


def test_all_in_one_serves_page_api_and_origin(tmp_path: Path) -> None:
    with running_server(tmp_path, page=player_page(tmp_path)) as server:
        page = httpx.get(server.url)
        assert (page.text, page.headers["Content-Type"]) == (
            "<title>player</title>",
            "text/html; charset=utf-8",
        )
        assert httpx.get(f"{server.url}/assets/main.js").text == "// player"
        assert httpx.get(f"{server.url}/health").status_code == 200
        for path in ("/t/token/v/x", "/v/x"):  # the origin's own words, not a problem
            assert httpx.get(server.url + path).headers["Content-Type"].startswith("text/plain")
        for path in ("/assets/", "/assets/nope.js", "/assets/%2e%2e/index.html"):
            assert_no_route(server, path)


def test_api_alone_has_no_page_and_no_origin(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert "headrace_origin" not in httpx.get(f"{server.url}/metrics").text
        for path in ("/", "/assets/main.js", "/t/token/v/x", "/v/x"):
            assert_no_route(server, path)


def test_page_that_is_not_built_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="make player"):
        create_app(Settings(), page=tmp_path)


def assert_no_route(server: Server, path: str) -> None:
    response = httpx.get(server.url + path)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:headrace:problem:no-such-route"
