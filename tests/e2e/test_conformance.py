"""Every clip becomes a package that keeps every rule, or a failure that a person understands."""

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.e2e import boxes, playlist_rules, segment_rules
from tests.e2e.clips import BAD, PLAYABLE, Uploaded
from tests.e2e.package import Package, fetch_package
from tests.e2e.service import Service

HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(1200)  # the first test that asks waits for all the encoding

GetPackage = Callable[[str], Package]


@pytest.fixture(scope="module")
def package(service: Service, uploaded: Uploaded) -> Iterator[GetPackage]:
    with httpx.Client() as viewer:

        @cache
        def get(name: str) -> Package:
            title = service.wait(uploaded(name))
            assert title["status"] == "ready", title["error"]
            return fetch_package(service.playback_url(title["id"]), viewer.get)

        yield get


@pytest.mark.parametrize("clip", PLAYABLE)
def test_clip_keeps_every_rule(clip: str, package: GetPackage) -> None:
    broken = []
    for rule in (*segment_rules.RULES, *playlist_rules.RULES):
        try:
            rule(package(clip))
        except AssertionError as error:
            broken.append(f"{rule.__name__}: {error}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("clip", PLAYABLE)
def test_playlists_pass_a_strict_parser(clip: str, package: GetPackage) -> None:
    texts = [package(clip).text, *(rendition.text for rendition in package(clip).renditions)]
    run_node("hls_parser.mjs", json.dumps(texts).encode())


@pytest.mark.parametrize("clip", PLAYABLE)
def test_mp4box_reads_the_same_codecs(clip: str, package: GetPackage) -> None:
    for rendition in package(clip).renditions:
        facts = json.loads(run_node("mp4box.mjs", rendition.init))
        assert facts == {
            "codec": boxes.codecs(rendition.info),
            "timescale": rendition.info.timescale,
            "fragmented": True,
        }


def run_node(script: str, data: bytes) -> bytes:
    result = subprocess.run(
        ["node", HERE / script],
        input=data,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


@pytest.mark.parametrize("clip", BAD)
def test_bad_clip_fails_with_a_reason(clip: str, service: Service, uploaded: Uploaded) -> None:
    title = service.wait(uploaded(clip))
    assert title["status"] == "failed", title
    assert not title["playable"]
    assert title["error"]["code"]
    assert not title["error"]["retryable"]
    assert len(title["error"]["message"].split()) >= 4
    assert "Traceback" not in title["error"]["message"]
    answer = service.client.get(f"/api/v1/media/{title['id']}/playback")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
