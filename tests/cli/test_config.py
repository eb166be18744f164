import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from cli.config import ConfigError, base_url, load_client, load_settings, parse
from media.settings import AwsSettings, OriginSettings, Settings

ROOT = Path(__file__).parents[2]


def mistakes(directory: Path, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(environ, directory)
    return list(caught.value.mistakes)


def test_nothing_configured_gives_the_defaults(tmp_path: Path) -> None:
    assert parse({"PATH": "/bin"}, tmp_path) == Settings()


def test_sample_file_states_every_default(tmp_path: Path) -> None:
    assert parse({}, ROOT) == Settings()
    sections = yaml.safe_load((ROOT / "config.yaml").read_text())
    stated = {(section, key) for section, keys in sections.items() for key in keys}
    depends_on_the_machine = {("worker", "concurrency")}
    assert (
        stated
        == {
            (section, key)
            for section, defaults in Settings()
            for key in type(defaults).model_fields
        }
        - depends_on_the_machine
    )


def test_file_changes_defaults_and_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "server: {port: 9000, readtimeout: 2m}\nworker:\n  # all keys left out\nlog: {level: debug}"
    )
    environ = {"STREAM_SERVER_PORT": "9001", "STREAM_ORIGIN_CACHE": "1MiB"}
    settings = parse(environ, tmp_path)
    assert settings.server.port == 9001
    assert settings.server.readtimeout == timedelta(minutes=2)
    assert settings.origin.cache == 1024**2
    assert settings.log.level == "debug"


def test_file_is_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("server: {port: 9002}")
    assert parse({"STREAM_CONFIG": "other.yaml"}, tmp_path).server.port == 9002
    assert parse({"STREAM_CONFIG": str(tmp_path / "other.yaml")}, Path("/")).server.port == 9002


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "server:\n"])
def test_file_that_says_nothing_is_fine(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert parse({}, tmp_path) == Settings()


def test_lists_and_mappings_in_the_environment_are_json_or_yaml(tmp_path: Path) -> None:
    profile = {"name": "a", "width": 320, "height": 180, "videobitrate": 1, "audiobitrate": "64k"}
    environ = {
        "STREAM_FFMPEG_PROFILES": json.dumps([profile]),
        "STREAM_SIGNING_KEYS": "{a: c2VjcmV0}",
    }
    settings = parse(environ, tmp_path)
    assert [profile.name for profile in settings.ffmpeg.profiles] == ["a"]
    assert settings.signing.keys == {"a": "c2VjcmV0"}


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (
            "server: {port: 99999}",
            {},
            "server.port = 99999 (from config.yaml): expected less than or equal to 65535",
        ),
        (
            "",
            {"STREAM_SERVER_PORT": "http"},
            "server.port = 'http' (from STREAM_SERVER_PORT): "
            "expected a valid integer, unable to parse string as an integer",
        ),
        (
            "server: {readtimeout: 30}",
            {},
            "server.readtimeout = 30 (from config.yaml): "
            "expected a duration such as 500ms, 30s, 30m or 2h",
        ),
        (
            "server: {maxupload: lots}",
            {},
            "server.maxupload = 'lots' (from config.yaml): expected a size such as 256MiB or 20GiB",
        ),
        (
            "log: {level: loud}",
            {},
            "log.level = 'loud' (from config.yaml): expected 'debug', 'info', 'warning' or 'error'",
        ),
        (
            "ffmpeg: {segmentduration: 5s}",
            {},
            "ffmpeg (from config.yaml): segmentduration must be 2s, 4s, 6s, 8s or 10s, got 5s",
        ),
        (
            "server: {prot: 80}",
            {},
            "server.prot (from config.yaml): no such key; did you mean server.port?",
        ),
        ("port: 80", {}, "port (from config.yaml): no such key; did you mean server.port?"),
        (
            "wroker: {concurrency: 2}",
            {},
            "wroker (from config.yaml): no such key; did you mean worker?",
        ),
        ("zebra: 80", {}, "zebra (from config.yaml): no such key"),
        (
            "",
            {"STREAM_SERVER_PRT": "80"},
            "STREAM_SERVER_PRT: no such setting; did you mean STREAM_SERVER_PORT?",
        ),
        (
            "",
            {"STREAM_PORT": "80"},
            "STREAM_PORT: no such setting; did you mean STREAM_SERVER_PORT?",
        ),
        ("", {"STREAM_ZEBRA": "80"}, "STREAM_ZEBRA: no such setting"),
        (
            "",
            {"STREAM_FFMPEG_PROFILES": "[{"},
            "STREAM_FFMPEG_PROFILES: expected a JSON or YAML value, line 1, column 3",
        ),
        ("", {"STREAM_CONFIG": "no.yaml"}, "STREAM_CONFIG = 'no.yaml': no such file"),
        ("", {"STREAM_CONFIG": "."}, ".: cannot be read: Is a directory"),
        ("server: {port: 80", {}, "config.yaml: not valid YAML, line 1, column 18"),
        ("- a list", {}, "config.yaml: expected sections such as `server:`"),
        (
            "server: 80",
            {"STREAM_SERVER_PORT": "80"},
            "server = 80 (from config.yaml): "
            "expected a valid dictionary or instance of ServerSettings",
        ),
    ],
)
def test_mistake_names_the_key_the_value_and_what_was_expected(
    tmp_path: Path, text: str, environ: dict[str, str], expected: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert mistakes(tmp_path, environ) == [expected]


def test_mistakes_in_a_profile_name_the_profile(tmp_path: Path) -> None:
    profile = {"name": "x", "width": 2, "heigth": 180, "videobitrate": "5q", "audiobitrate": "64k"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"ffmpeg": {"profiles": [profile]}}))
    assert mistakes(tmp_path, {}) == [
        "ffmpeg.profiles.0.width = 2 (from config.yaml): expected greater than or equal to 16",
        "ffmpeg.profiles.0.height (from config.yaml): expected, but not there",
        "ffmpeg.profiles.0.videobitrate = '5q' (from config.yaml): "
        "expected a bit rate such as 5000k or 5M",
        "ffmpeg.profiles.0.heigth (from config.yaml): "
        "no such key; did you mean ffmpeg.profiles.height?",
    ]


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("server: {port: 0}\nlog: {format: xml}\nfoo: 1\n")
    found = mistakes(tmp_path, {"STREAM_NOPE": "1", "STREAM_WORKER_CONCURRENCY": "0"})
    subjects = [line.split(" ")[0].rstrip(":") for line in found]
    assert subjects == ["STREAM_NOPE", "server.port", "worker.concurrency", "log.format", "foo"]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("signing: {keys: [hunter2]}", {}),
        ("signing: {keys: {a: [hunter2]}}", {}),
        ("signing: hunter2", {}),
        ("signing: {kyes: {a: hunter2}}", {}),
        ("signing: {keys: {a: hunter2", {}),
        ("", {"STREAM_SIGNING_KEYS": "hunter2"}),
        ("", {"STREAM_SIGNING_KEYS": "{hunter2"}),
        ("", {"STREAM_SIGNING_KYES": "hunter2"}),
        ("hunter2", {}),
        ("signing: {mode: hunter2}", {}),
        ("signing: {cloudfrontkey: [hunter2]}", {}),
        ("signing: {cloudfrontkey: hunter2, mode: cloudfront-url}", {}),
        ("origin: {secrets: [hunter2]}", {}),
        ("origin: {secrets: hunter2}", {}),
        ("", {"STREAM_ORIGIN_SECRETS": "hunter2"}),
        ("", {"STREAM_ORIGIN_SECRETS": "[hunter2]"}),
    ],
)
def test_secret_is_never_shown(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    (tmp_path / "config.yaml").write_text(text)
    found = mistakes(tmp_path, environ)
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "signing: {mode: cloudfront-url}",
            "signing (from config.yaml): mode cloudfront-url needs cloudfrontkeyid",
        ),
        (
            "signing: {cookiedomain: studio.example}",
            "signing (from config.yaml): cookiedomain goes with mode cloudfront-cookie",
        ),
        (
            "signing: {mode: cloudfront-cookie, cloudfrontkeyid: K, cloudfrontkey: x}",
            "(from config.yaml): signing.mode cloudfront-cookie needs aws.cloudfrontdomain or "
            "origin.publicurl: what is signed begins with it",
        ),
        (
            "aws: {cloudfrontdomain: a.example}\norigin: {publicurl: 'https://b.example'}",
            "(from config.yaml): aws.cloudfrontdomain and origin.publicurl are two ways to say the "
            "same: set one",
        ),
        (
            "aws: {cloudfrontdomain: 'https://a.example'}",
            "aws.cloudfrontdomain = 'https://a.example' (from config.yaml): ",
        ),
    ],
)
def test_playback_settings_that_do_not_fit_together(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    (mistake,) = mistakes(tmp_path, {})
    assert mistake.strip().startswith(expected)


def test_media_url_is_that_of_the_cdn() -> None:
    assert Settings().media_url is None
    assert Settings(aws=AwsSettings(cloudfrontdomain="a.example")).media_url == "https://a.example"
    origin = OriginSettings(publicurl="http://b.example/")
    assert Settings(origin=origin).media_url == "http://b.example"


def test_long_value_is_cut(tmp_path: Path) -> None:
    found = mistakes(tmp_path, {"STREAM_LOG_LEVEL": "x" * 10_000})
    assert len(found[0]) < 250


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("media.example", "http://media.example:8080"),
    ],
)
def test_base_url_is_one_that_this_machine_can_reach(
    tmp_path: Path, host: str, expected: str
) -> None:
    assert base_url(parse({"STREAM_SERVER_HOST": host}, tmp_path)) == expected


def test_client_takes_option_over_variable_over_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_SERVER_PORT", "9003")
    assert load_client(None, None).url == "http://127.0.0.1:9003"
    monkeypatch.setenv("HEADRACE_URL", "http://example:1/")
    monkeypatch.setenv("HEADRACE_USER", "ada")
    assert load_client(None, None).url == "http://example:1"
    assert load_client(None, None).user == "ada"
    assert load_client("http://other:2", "bob").url == "http://other:2"
    assert load_client("http://other:2", "bob").user == "bob"


def test_web_origins_are_taken_as_a_list(tmp_path: Path) -> None:
    origins = ("https://studio.example", "http://[::1]:8080")
    environ = {"STREAM_SERVER_CORSORIGINS": json.dumps(origins)}
    assert parse(environ, tmp_path).server.corsorigins == origins


@pytest.mark.parametrize(
    "origin", ["*", "null", "studio.example", "https://a.example/", "HTTPS://A"]
)
def test_what_browsers_do_not_call_an_origin_is_refused(tmp_path: Path, origin: str) -> None:
    environ = {"STREAM_SERVER_CORSORIGINS": json.dumps([origin])}
    assert mistakes(tmp_path, environ) == [
        f"server.corsorigins.0 = {origin!r} (from STREAM_SERVER_CORSORIGINS): "
        "expected an origin as browsers name it, such as https://studio.example"
    ]


def test_tracing_without_its_packages_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_TRACING_ENDPOINT", "http://127.0.0.1:4318")
    assert load_settings().tracing.endpoint == "http://127.0.0.1:4318"
    monkeypatch.setattr("cli.config.TRACING_PACKAGE", "headrace-without-its-extra")
    with pytest.raises(ConfigError, match=r"pip install 'headrace\[tracing\]'"):
        load_settings()


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "grpc://c:4317", "http://u:p@c:4318"])
def test_collector_is_named_by_its_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        parse({"STREAM_TRACING_ENDPOINT": address}, tmp_path)
