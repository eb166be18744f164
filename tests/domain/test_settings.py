from base64 import b64encode
from contextlib import nullcontext
from datetime import timedelta
from importlib.metadata import version

import pytest
from pydantic import SecretStr, ValidationError

from media.settings import (
    FfmpegSettings,
    Settings,
    WebhookSettings,
    parse_bit_rate,
    parse_duration,
    webhook_key,
)


def test_default_version_is_the_package_s() -> None:
    assert Settings().app.version == version("headrace")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("30m", 1800), ("2h", 7200), ("500ms", 0.5), ("1.5s", 1.5)]
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 s", "1d", "1s2"])
def test_duration_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "bit_rate"), [("5000k", 5_000_000), ("5M", 5_000_000), ("800", 800), (64_000, 64_000)]
)
def test_bit_rate(text: object, bit_rate: int) -> None:
    assert parse_bit_rate(text) == bit_rate


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"segmentduration": "5s"}, "must be 2s, 4s, 6s, 8s or 10s, got 5s"),
        ({"profiles": []}, "at least 1 item"),
        ({"crf": 99}, "less than or equal to 51"),
        ({"presett": "fast"}, "Extra inputs are not permitted"),
    ],
)
def test_ffmpeg_settings_refuse(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FfmpegSettings.model_validate(values)


def test_profile_names_must_differ() -> None:
    twice = [
        {"name": "a", "width": 640, "height": 360, "videobitrate": "1M", "audiobitrate": "64k"}
    ] * 2
    with pytest.raises(ValidationError, match="profile names must differ"):
        FfmpegSettings.model_validate({"profiles": twice})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings().server, "port", 1)  # noqa: B010 (a plain assignment is a type error)


def whsec(size: int) -> str:
    return f"whsec_{b64encode(bytes(size)).decode()}"


@pytest.mark.parametrize("size", [24, 32, 64])
def test_webhook_secret_is_a_key(size: int) -> None:
    assert webhook_key(SecretStr(whsec(size))) == bytes(size)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_é",
        "whsec_????" * 10,
        whsec(23),
        whsec(65),
        whsec(32).removeprefix("whsec_"),
        whsec(32).rstrip("="),
        whsec(32) + " ",
    ],
)
def test_webhook_secret_refuses(secret: str) -> None:
    values = {"url": "https://a.example", "secret": secret}
    with pytest.raises(ValidationError, match="expected whsec_ and the base64 of 24 to 64 random"):
        WebhookSettings.model_validate(values)


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("https://a.example", True),
        ("http://127.0.0.1:8000/hook?a=b", True),
        ("https://user:word@a.example:65535/", True),
        ("https://[::1]:80/x", True),
        ("ftp://a.example", False),
        ("https://", False),
        ("https:///x", False),
        ("https://a.example:65536", False),
        ("https://a example", False),
        ("https://a.example/\x7f", False),
        ("https://a.example/x\n", False),
        ("https://[::1", False),
    ],
)
def test_webhook_url(url: str, holds: bool) -> None:
    with nullcontext() if holds else pytest.raises(ValidationError, match="expected a URL such as"):
        WebhookSettings.model_validate({"url": url, "secret": whsec(32)})
