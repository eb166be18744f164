"""The player page in Chromium behind a CDN that verifies CloudFront's signatures."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests import service as command
from tests.e2e.clips import CLIPS
from tests.e2e.test_player_page import CHROMIUM_ARGS, CURRENT_TIME, until
from tests.server.test_cloudfront import P256, decoded, pem_of, verify

CLIP = CLIPS / "audio-only-cover.mp3"
SECRET = "s" * 32
USER = "ann"


@dataclass
class Cdn:
    """As CloudFront with a trusted key group: the signature is looked at and taken away."""

    mode: str
    page_url: str = ""
    origin_url: str = ""
    statuses: list[int] = field(default_factory=list)

    def opens(self, path: str, query: str, cookies: str) -> bool:
        if self.mode == "cloudfront-url":
            signed = dict(parse_qsl(query))
        else:
            found = SimpleCookie(cookies)
            signed = {name.removeprefix("CloudFront-"): m.value for name, m in found.items()}
        if "Policy" not in signed:
            return False
        policy = decoded(signed["Policy"])
        verify(P256, decoded(signed["Signature"]), policy)
        resource = json.loads(policy)["Statement"][0]["Resource"]
        return path.startswith(urlsplit(resource.removesuffix("*")).path)


def handler(cdn: Cdn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body, content_type = 403, b"", "text/plain"
            if cdn.opens(parts.path, parts.query, self.headers.get("cookie", "")):
                headers = {"X-Origin-Verify": SECRET}
                answer = httpx.get(f"{cdn.origin_url}{parts.path}", headers=headers)
                status, body = answer.status_code, answer.content
                content_type = answer.headers["content-type"]
            cdn.statuses.append(status)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Access-Control-Allow-Origin", cdn.page_url)
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


@contextmanager
def serving(cdn: Cdn) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(cdn)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def upload(url: str) -> str:
    with httpx.Client(base_url=url, headers={"X-User-ID": USER}, timeout=60) as client:
        with CLIP.open("rb") as file:
            answer = client.post("/api/v1/upload", files={"file": (CLIP.name, file)})
        assert answer.status_code == 201, answer.text
        media_id = str(answer.json()["id"])
        command.until(lambda: client.get(f"/api/v1/media/{media_id}").json()["status"] == "ready")
    return media_id


@pytest.mark.parametrize("mode", ["cloudfront-cookie", "cloudfront-url"])
def test_page_plays_what_cloudfront_opens(tmp_path: Path, mode: str) -> None:
    cdn = Cdn(mode)
    with (
        serving(cdn) as cdn_url,
        command.started(
            tmp_path,
            STREAM_SIGNING_MODE=mode,
            STREAM_SIGNING_CLOUDFRONTKEYID="K2JCJMDEHXQW5F",
            STREAM_SIGNING_CLOUDFRONTKEY=pem_of(P256),
            STREAM_ORIGIN_PUBLICURL=cdn_url,
            STREAM_ORIGIN_SECRETS=json.dumps([SECRET]),
        ) as up,
        sync_playwright() as playwright,
    ):
        cdn.page_url = cdn.origin_url = up.url
        command.until(up.is_ready)
        media_id = upload(up.url)
        headers = {"X-User-ID": USER}
        playback = httpx.get(f"{up.url}/api/v1/media/{media_id}/playback", headers=headers).json()
        assert httpx.get(playback["url"].partition("?")[0]).status_code == 403
        with (
            playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=CHROMIUM_ARGS
            ) as browser,
            browser.new_context() as context,
        ):
            context.add_init_script(f"localStorage.setItem('headrace.user', '{USER}')")
            for name, value in (playback["cookies"] or {}).items():
                context.add_cookies([{"name": name, "value": value, "url": cdn_url}])
            page = context.new_page()
            page.goto(f"{up.url}/#{media_id}")
            until(page, "document.querySelector('video').readyState > 0")
            page.evaluate("() => void document.querySelector('video').play()")
            until(page, f"{CURRENT_TIME} > 1")
        assert cdn.statuses.count(403) == 1
        assert cdn.statuses.count(200) >= 4
        assert up.stop() == 0
