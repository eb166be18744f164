"""Reads the configuration, once, at start: environment over config.yaml over the defaults.

The only reader of the environment. Mistakes are collected, so that one start shows all of them;
a value that may be a secret is never shown.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from media.settings import Section, Settings

PREFIX = "STREAM_"
FILE_VARIABLE = "STREAM_CONFIG"
DEFAULT_FILE = "config.yaml"
URL_VARIABLE = "HEADRACE_URL"
USER_VARIABLE = "HEADRACE_USER"
DEFAULT_USER = "local"

SECRET_SECTIONS = frozenset({"signing", "redis", "webhook"})  # no value of theirs is shown
SECRET_KEYS = frozenset({("origin", "secrets"), ("tracing", "endpoint")})  # nor of these
SHOWN_CHARACTERS = 80
TRACING_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
SIMILARITY = 0.7  # of a mistyped key to the one it is taken for, 1 being the same

KeyPath = tuple[str, ...]


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` has one line for each thing to mend."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Client:
    """Whom the client commands talk to, and as whom."""

    url: str
    user: str


def load_settings() -> Settings:
    """Raises ConfigError."""
    settings = parse(os.environ, Path.cwd())
    if settings.tracing.endpoint is not None:
        _check_installed(TRACING_PACKAGE, "tracing.endpoint", "tracing")
    return settings


def _check_installed(package: str, key: str, extra: str) -> None:
    try:
        distribution(package)
    except PackageNotFoundError:
        raise ConfigError(
            [f"{key} needs what is not installed: pip install 'headrace[{extra}]', or leave it out"]
        ) from None


def load_client(url: str | None, user: str | None) -> Client:
    """Option over environment over the address at which this directory's service listens."""
    return Client(
        url=(url or os.environ.get(URL_VARIABLE) or base_url(load_settings())).rstrip("/"),
        user=user or os.environ.get(USER_VARIABLE) or DEFAULT_USER,
    )


def base_url(settings: Settings) -> str:
    """Where this machine itself reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.server.host, settings.server.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"


def parse(environ: Mapping[str, str], directory: Path) -> Settings:
    layers = _Layers()
    layers.read_file(environ, directory)
    layers.read_variables(environ)
    try:
        settings = Settings.model_validate(layers.merged())
    except ValidationError as error:
        raise ConfigError([*layers.mistakes, *layers.describe(error)]) from None
    if layers.mistakes:
        raise ConfigError(layers.mistakes)
    return settings


@dataclass(slots=True)
class _Layers:
    """What was said by the file and by the environment, and by which variable."""

    file_name: str = DEFAULT_FILE
    file: dict[str, object] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    values: dict[KeyPath, object] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def read_file(self, environ: Mapping[str, str], directory: Path) -> None:
        self.file_name = environ.get(FILE_VARIABLE, DEFAULT_FILE)
        try:
            tree = yaml.safe_load((directory / self.file_name).read_bytes())
        except FileNotFoundError:
            if FILE_VARIABLE in environ:
                self.mistakes.append(f"{FILE_VARIABLE} = {self.file_name!r}: no such file")
            return
        except OSError as error:
            self.mistakes.append(f"{self.file_name}: cannot be read: {error.strerror}")
            return
        except yaml.YAMLError as error:
            self.mistakes.append(f"{self.file_name}: not valid YAML{_position(error)}")
            return
        if not isinstance(tree, dict | None):
            self.mistakes.append(f"{self.file_name}: expected sections such as `server:`")
            return
        # A section whose keys are all commented out reads as None.
        self.file = {key: value for key, value in (tree or {}).items() if value is not None}

    def read_variables(self, environ: Mapping[str, str]) -> None:
        known = {_variable(path): path for path in _keys(Settings)}
        for name in sorted(environ):
            if not name.startswith(PREFIX) or name == FILE_VARIABLE:
                continue
            if path := known.get(name):
                self._read_variable(name, path, environ[name])
            else:
                similar = _similar(
                    name.removeprefix(PREFIX).lower().replace("_", "."), known.values()
                )
                hint = f"; did you mean {_variable(similar)}?" if similar else ""
                self.mistakes.append(f"{name}: no such setting{hint}")

    def _read_variable(self, name: str, path: KeyPath, text: str) -> None:
        self.variables[path] = name
        try:
            self.values[path] = yaml.safe_load(text) if _is_structured(path) else text
        except yaml.YAMLError as error:
            self.mistakes.append(f"{name}: expected a JSON or YAML value{_position(error)}")

    def merged(self) -> dict[str, object]:
        tree = {**self.file}
        for (section, key), value in self.values.items():
            below = tree.get(section, {})
            if isinstance(below, dict):  # else it is refused, with the file's name
                tree[section] = {**below, key: value}
        return tree

    def describe(self, error: ValidationError) -> Iterator[str]:
        for details in error.errors(include_url=False):
            # A list whose items are all wrong is reported as too short as well.
            if not (details["type"] == "too_short" and details["input"]):
                yield self._describe(details)

    def _describe(self, details: ErrorDetails) -> str:
        path = tuple(map(str, details["loc"]))
        key = ".".join(path)
        origin = self.variables.get(path[:2], self.file_name)
        if details["type"] == "extra_forbidden":
            sections = ((name,) for name in Settings.model_fields)
            similar = _similar(key, [*_keys(Settings), *_item_keys(), *sections])
            hint = f"; did you mean {'.'.join(similar)}?" if similar else ""
            return f"{key} (from {origin}): no such key{hint}"
        return f"{key}{_shown(path, details)} (from {origin}): {_expectation(details)}"


def _keys(model: type[BaseModel], above: KeyPath = ()) -> Iterator[KeyPath]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _keys(info.annotation, (*above, name))
        else:
            yield (*above, name)


def _item_keys() -> Iterator[KeyPath]:
    """The keys of a list's items."""
    for path in _keys(Settings):
        for item in get_args(_annotation(path)):
            if isinstance(item, type) and issubclass(item, Section):
                yield from _keys(item, path)


def _annotation(path: KeyPath) -> object:
    section = Settings.model_fields[path[0]].annotation
    assert isinstance(section, type) and issubclass(section, Section), path
    return section.model_fields[path[1]].annotation


def _is_structured(path: KeyPath) -> bool:
    return get_origin(_annotation(path)) in (tuple, dict)


def _variable(path: KeyPath) -> str:
    return PREFIX + "_".join(path).upper()


def _similar(dotted: str, known: Iterable[KeyPath]) -> KeyPath | None:
    """The key that was probably meant: spelt nearly so, or of that name in another section."""
    by_name = {".".join(path): path for path in known}
    for name in get_close_matches(dotted, by_name, n=1, cutoff=SIMILARITY):
        return by_name[name]
    last = dotted.rpartition(".")[2]
    return next((path for path in by_name.values() if path[-1] == last), None)


def _shown(path: KeyPath, details: ErrorDetails) -> str:
    if details["type"] == "missing" or isinstance(details["input"], dict | list | tuple):
        return ""
    if path[0] in SECRET_SECTIONS or path[:2] in SECRET_KEYS:
        return " = (hidden)"
    text = repr(details["input"])
    return f" = {text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + '...'}"


def _expectation(details: ErrorDetails) -> str:
    match details["type"]:
        case "byte_size":
            return "expected a size such as 256MiB or 20GiB"
        case "missing":
            return "expected, but not there"
        case _:
            message = details["msg"].removeprefix("Value error, ")
            return message.replace("Input should be", "expected", 1)


def _position(error: yaml.YAMLError) -> str:
    """Where, without the line itself, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
