import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cli.logs import configure_logging
from media.settings import LogSettings


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("server.api").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_json_has_one_object_per_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(format="json"), colour=False)
    structlog.stdlib.get_logger("ours").info("title ready", media="a\nb", count=3)
    logging.getLogger("theirs").warning("foreign %s", "event", extra={"media": "m"})
    try:
        raise ValueError("no\nway")
    except ValueError:
        structlog.stdlib.get_logger("ours").exception("failed")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("timestamp")
    assert first == {
        "event": "title ready",
        "level": "info",
        "logger": "ours",
        "media": "a\nb",
        "count": 3,
    }
    assert (second["event"], second["logger"], second["media"]) == ("foreign event", "theirs", "m")
    assert "ValueError: no\nway" in third["exception"]


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x00b"])
def test_name_cannot_forge_a_line_of_the_console(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure_logging(LogSettings(), colour=False)
    structlog.stdlib.get_logger("ours").info("uploaded", name=name)
    logging.getLogger("theirs").info("uploaded %s", name)
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_letters_of_every_language_stay_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), colour=False)
    structlog.stdlib.get_logger("ours").info("Füße 日本語")
    assert "Füße 日本語" in capsys.readouterr().err


def test_level_is_a_threshold_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="warning"), colour=False)
    structlog.stdlib.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("colour", "level", "shown"),
    [(False, "info", True), (True, "info", False), (True, "debug", True)],
)
def test_terminal_shows_requests_only_when_debugging(
    capsys: pytest.CaptureFixture[str], colour: bool, level: str, shown: bool
) -> None:
    configure_logging(LogSettings.model_validate({"level": level}), colour=colour)
    structlog.stdlib.get_logger("server.api").info("request")
    assert bool(capsys.readouterr().err) is shown
