"""Against `headrace origin` behind CloudFront's own function in nginx."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cdn.tiers import KEYS, SECRET, Tiers, tiers
from cli.doctor_playback import playback_traits
from media.settings import OriginSettings, Settings, SigningSettings
from stores.trait import Trait


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
