"""Playback by CloudFront's signed cookies and URLs, of a real server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.server.api.service import (
    Server,
    client_of,
    description_of,
    player_page,
    running_server,
)
from tests.server.api.test_titles import playable
from tests.server.test_cloudfront import P256, decoded, pem_of, verify

DOMAIN = "media.studio.example"
AWS = {"cloudfrontdomain": DOMAIN}
SIGNING = {"cloudfrontkeyid": "K2JCJMDEHXQW5F", "cloudfrontkey": pem_of(P256), "lifetime": "1h"}


@contextmanager
def serving(folder: Path, **signing: str) -> Iterator[tuple[Server, httpx.Client]]:
    with (
        running_server(
            folder, page=player_page(folder), others={"aws": AWS, "signing": SIGNING | signing}
        ) as server,
        client_of(server, description_of(server)) as client,
    ):
        yield server, client


def check(signed: dict[str, str], media_id: str) -> None:
    policy = decoded(signed["Policy"])
    verify(P256, decoded(signed["Signature"]), policy)
    text, _, expires = policy.decode().removesuffix("}}}]}").rpartition(":")
    assert text.startswith(f'{{"Statement":[{{"Resource":"https://{DOMAIN}/v/{media_id}/*",')
    assert 3500 < int(expires) - time.time() <= 3600
    assert (signed["Key-Pair-Id"], signed["Hash-Algorithm"]) == ("K2JCJMDEHXQW5F", "SHA256")


def test_cookies_open_the_title(tmp_path: Path) -> None:
    with serving(tmp_path, mode="cloudfront-cookie") as (server, client):
        media_id = playable(server, client)
        answer = client.get(f"/api/v1/media/{media_id}/playback")
    playback = answer.json()
    assert playback["url"] == f"https://{DOMAIN}/v/{media_id}/v1/index.m3u8"
    names = {name.removeprefix("CloudFront-"): value for name, value in playback["cookies"].items()}
    assert len(names) == 4
    check(names, media_id)
    assert "set-cookie" not in answer.headers


def test_cookies_are_set_for_a_shared_domain(tmp_path: Path) -> None:
    mode, domain = "cloudfront-cookie", "studio.example"
    with serving(tmp_path, mode=mode, cookiedomain=domain) as (server, client):
        media_id = playable(server, client)
        answer = client.get(f"/api/v1/media/{media_id}/playback")
    told = answer.json()["cookies"]
    assert len(answer.headers.get_list("set-cookie")) == len(told) == 4
    for header in answer.headers.get_list("set-cookie"):
        ((name, cookie),) = SimpleCookie(header).items()
        assert cookie.value == told[name]
        assert {key: value for key, value in cookie.items() if value} == {
            "path": f"/v/{media_id}/",
            "domain": domain,
            "secure": True,
            "httponly": True,
            "samesite": "lax",
        }


def test_url_opens_the_title_by_its_query(tmp_path: Path) -> None:
    with serving(tmp_path, mode="cloudfront-url") as (server, client):
        media_id = playable(server, client)
        answer = client.get(f"/api/v1/media/{media_id}/playback")
    parts = urlsplit(answer.json()["url"])
    assert (parts.scheme, parts.netloc) == ("https", DOMAIN)
    assert parts.path == f"/v/{media_id}/v1/index.m3u8"
    check(dict(parse_qsl(parts.query, strict_parsing=True)), media_id)
    assert answer.json()["cookies"] is None
    assert "set-cookie" not in answer.headers


def test_domain_alone_moves_token_urls(tmp_path: Path) -> None:
    with serving(tmp_path, mode="token") as (server, client):
        media_id = playable(server, client)
        playback = client.get(f"/api/v1/media/{media_id}/playback").json()
        page = httpx.get(server.url).headers["content-security-policy"]
    assert playback["url"].startswith(f"https://{DOMAIN}/t/")
    assert playback["cookies"] is None
    assert f"connect-src 'self' https://{DOMAIN};" in page


@pytest.mark.parametrize("mode", ["token", "cloudfront-cookie", "cloudfront-url"])
def test_reports_need_a_token_in_every_mode(tmp_path: Path, mode: str) -> None:
    with serving(tmp_path, mode=mode) as (server, client):
        media_id = playable(server, client)
        url = client.get(f"/api/v1/media/{media_id}/playback").json()["cmcd_url"]
        assert url.startswith(f"{server.url}/api/v1/cmcd?token=")
        assert httpx.post(url, content=b"").status_code != 403
