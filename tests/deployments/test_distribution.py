"""The figures for a distribution, held to what the origin and the function do."""

import asyncio
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import Message, Scope

from media.settings import OriginSettings, Settings
from native.origin import ALLOWED_METHODS
from server.origin import fill
from server.origin.app import create_origin
from server.origin.asgi import OriginASGI
from server.tokens import TokenKeys, issue, playback_path
from stores.objects.filesystem import FilesystemObjects

FOLDER = Path(__file__).parents[2] / "deployments/cloudfront"
FIGURES: dict[str, Any] = json.loads((FOLDER / "distribution.json").read_text())
LIVES = (fill.IMMUTABLE, fill.FINAL, fill.GROWING)
SECRET = "s" * 32
KEYS = TokenKeys({"k": bytes(32)})
INDEX = playback_path(issue(KEYS, "m1", 4_000_000_000), "m1", "1")
PLAYLIST = INDEX.replace("index.m3u8", "720p/playlist.m3u8")
SEGMENT = INDEX.replace("index.m3u8", "720p/00001-0123456789abcdef.m4s")


def ask(folder: Path, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def asking() -> None:
        objects = FilesystemObjects(folder)
        await objects.put("v/m1/1/index.m3u8", b"#EXTM3U\n")
        settings = Settings(origin=OriginSettings(secrets=(SecretStr(SECRET),)))
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "raw_path": path.encode(),
            "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
        }
        await OriginASGI(create_origin(objects, KEYS, settings))(scope, receive, send)
        await objects.close()

    asyncio.run(asking())
    start = sent[0]
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}


def max_age_s(cache_control: str) -> int:
    """The longer one, should there be one for shared caches."""
    return max(map(int, re.findall(r"max-?age=(\d+)", cache_control)))


def behavior_of(mode: str, path: str) -> dict[str, Any]:
    """The first whose pattern matches; CloudFront's `*` stands for slashes, too."""
    behaviors: list[dict[str, Any]] = FIGURES["behaviors"][mode]
    return next(each for each in behaviors if fnmatchcase(path, each["path_pattern"]))


def test_custom_header_is_the_one_that_the_origin_reads(tmp_path: Path) -> None:
    name = FIGURES["origin"]["custom_header_name"]
    assert ask(tmp_path, "/v/m1/1/index.m3u8", {name: SECRET})[0] == 200
    assert ask(tmp_path, "/v/m1/1/index.m3u8", {})[0] == 403


def test_errors_are_cached_as_long_as_the_origin_says(tmp_path: Path) -> None:
    header = {FIGURES["origin"]["custom_header_name"]: SECRET}
    ttl_s = FIGURES["error_caching_min_ttl"]
    status, headers = ask(tmp_path, "/v/m1/1/none.m3u8", header)
    assert (status, max_age_s(headers["cache-control"])) == (404, ttl_s["404"])
    status, headers = ask(tmp_path, "/v/m1/1/index.m3u8", {})
    assert (status, headers["cache-control"], ttl_s["403"]) == (403, "no-store", 0)
    for answer in (fill.BUSY, fill.UNAVAILABLE):
        assert int(dict(answer.headers)["retry-after"]) == ttl_s[str(answer.status)]
    assert {int(code) for code in ttl_s} >= {403, 404, 500, 502, 503, 504}
    assert max(ttl_s.values()) <= 1


def test_timeouts_fit_those_of_the_origin() -> None:
    origin = FIGURES["origin"]
    assert origin["origin_keepalive_timeout"] < Settings().server.readtimeout.total_seconds()
    assert origin["origin_read_timeout"] > fill.PATIENCE_S


@pytest.mark.parametrize("policy", FIGURES["cache_policies"])
def test_cache_key_is_the_path(policy: str) -> None:
    figures = FIGURES["cache_policies"][policy]
    assert {figures[f"{part}_behavior"] for part in ("query_string", "header", "cookie")} == {
        "none"
    }
    assert figures["min_ttl"] == 0, "else what says no-store is kept"
    assert figures["max_ttl"] >= max(map(max_age_s, LIVES))
    compressed = policy == "playlists"
    assert figures["enable_accept_encoding_gzip"] is compressed


@pytest.mark.parametrize("mode", FIGURES["behaviors"])
def test_behaviors_tell_playlists_from_segments(mode: str) -> None:
    start = INDEX.index("/v/") if mode == "signed" else 0
    for path in (INDEX, PLAYLIST):
        assert behavior_of(mode, path[start:])["cache_policy"] == "playlists"
    assert behavior_of(mode, SEGMENT[start:])["cache_policy"] == "segments"


@pytest.mark.parametrize("mode", FIGURES["behaviors"])
def test_no_path_is_open_to_all(mode: str) -> None:
    for behavior in FIGURES["behaviors"][mode]:
        assert behavior["function"] is not behavior["key_group"]
    assert FIGURES["behaviors"][mode][-1]["path_pattern"] == "*"
    assert not behavior_of(mode, "/anything")["key_group"]
    if mode == "token":
        assert behavior_of(mode, "/v/m1/1/index.m3u8")["function"]


def test_methods_are_those_of_the_origin() -> None:
    assert FIGURES["allowed_methods"] == ALLOWED_METHODS.split(", ")
    assert set(FIGURES["cached_methods"]) == {"GET", "HEAD"}


def test_function_is_there_and_reads_such_keys() -> None:
    function = FIGURES["function"]
    assert f"store.get('{function['key_prefix']}' + " in (FOLDER / function["file"]).read_text()


def test_page_names_every_figure() -> None:
    page = (FOLDER / "README.md").read_text()
    origin = FIGURES["origin"]
    for shown in (
        f"`{origin['custom_header_name']}`",
        f"| {origin['origin_keepalive_timeout']} s |",
        f"| {origin['origin_read_timeout']} s |",
        f"TTL 0 to {FIGURES['cache_policies']['segments']['max_ttl']}",
        *(f"`{each['path_pattern']}`" for each in FIGURES["behaviors"]["token"]),
    ):
        assert shown in page, shown
