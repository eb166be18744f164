"""Against `headrace origin` behind CloudFront's own function in nginx."""

import base64
import threading
from collections.abc import Iterator
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from bench.cdn.tiers import KEYS, SECRET, Tiers, tiers
from cli.doctor_playback import playback_traits
from media.settings import DataSettings, OriginSettings, Settings, SigningSettings
from stores.trait import Trait
from tests.server.test_cloudfront import P256, decoded, pem_of, verify
from tests.service import run


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    with tiers(tmp_path_factory.mktemp("tiers")) as started:
        yield started


def found(url: str, **secrets: bytes) -> dict[str, Trait]:
    keys = {kid: base64.urlsafe_b64encode(secret).decode() for kid, secret in secrets.items()}
    settings = Settings(origin=OriginSettings(publicurl=url), signing=SigningSettings(keys=keys))
    return {trait.what: trait for trait in playback_traits(settings)}


def test_keys_that_the_cdn_knows_are_told_from_others(started: Tiers) -> None:
    traits = found(started.edges[0].url, **KEYS.secrets, new=bytes(range(32)))
    assert {what: trait.ok for what, trait in traits.items()} == {
        "CDN, without a token": True,
        "CDN, key of a stranger": True,
        "CDN, key cdn": True,
        "CDN, key new": False,
    }
    assert traits["CDN, key new"].found == "answers 403"
    assert "key.new" in traits["CDN, key new"].remedy


def test_same_key_id_with_another_secret_is_told(started: Tiers) -> None:
    assert not found(started.edges[0].url, cdn=bytes(32))["CDN, key cdn"].ok


def test_cdn_without_the_function_is_told(started: Tiers) -> None:
    """The shield asks the origin with its secret, whoever comes."""
    traits = found(started.shield.url, **KEYS.secrets)
    assert traits["CDN, without a token"].found.startswith("answers 404")
    assert not traits["CDN, without a token"].ok


def test_origin_that_does_not_answer_is_told(tmp_path: Path) -> None:
    traits = found("http://127.0.0.1:1", k=SECRET.encode())
    assert not any(trait.ok for trait in traits.values())
    assert traits["CDN, key k"].found.startswith("no answer")


def test_cdn_that_is_not_there_yet_fails_no_creation(tmp_path: Path) -> None:
    settings = {"STREAM_ORIGIN_PUBLICURL": "http://127.0.0.1:1"}
    plain = run(tmp_path, "doctor", **settings)
    assert (plain.returncode, plain.stdout.count("missing")) == (1, 2), plain.stdout
    creating = run(tmp_path, "doctor", "--create", **settings)
    assert creating.returncode == 0, creating.stdout
    assert "no answer" in creating.stdout


def test_doctor_makes_no_key(tmp_path: Path) -> None:
    settings = Settings(
        data=DataSettings(dir=tmp_path / "data"), origin=OriginSettings(publicurl="http://[::1]:1")
    )
    assert len(list(playback_traits(settings))) == 2
    assert list(tmp_path.iterdir()) == []


class Signed(BaseHTTPRequestHandler):
    """Opens to whoever has signed with P256, by query or by cookies, as CloudFront does."""

    def do_GET(self) -> None:
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        given = dict(parse_qsl(urlsplit(self.path).query))
        given |= {name.removeprefix("CloudFront-"): each.value for name, each in cookies.items()}
        self.send_response(404 if self.opens(given) else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def opens(self, given: dict[str, str]) -> bool:
        try:
            verify(P256, decoded(given["Signature"]), decoded(given["Policy"]))
        except (KeyError, InvalidSignature):
            return False
        return given["Key-Pair-Id"] == "K2" and given["Hash-Algorithm"] == "SHA256"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("mode", ["cloudfront-cookie", "cloudfront-url"])
def test_key_of_signed_playback_is_asked_for(mode: str) -> None:
    def key(private: ec.EllipticCurvePrivateKey) -> Trait:
        signing = {"mode": mode, "cloudfrontkeyid": "K2", "cloudfrontkey": pem_of(private)}
        settings = Settings(
            origin=OriginSettings(publicurl=f"http://127.0.0.1:{server.server_port}"),
            signing=SigningSettings.model_validate(signing),
        )
        closed, found = playback_traits(settings)
        assert (closed.what, closed.ok) == ("CDN, without a token", True)
        return found

    with ThreadingHTTPServer(("127.0.0.1", 0), Signed) as server:
        threading.Thread(target=server.serve_forever).start()
        assert key(P256).ok
        other = key(ec.generate_private_key(ec.SECP256R1()))
        assert (other.what, other.ok) == ("CDN, key K2", False)
        assert "key group" in other.remedy
        server.shutdown()
