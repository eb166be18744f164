"""What an operator sees of an installation on S3, DynamoDB and Redis, and that it is no secret."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from deployments.aws_local import estate, servers
from tests import service as command
from tests.e2e.collector import Collector, Span, collecting
from tests.server import receiving

CLIP = Path(__file__).parents[1] / "media" / "audio-shorter-than-video.mp4"
LADDER = "[{name: 90p, width: 160, height: 90, videobitrate: 100k, audiobitrate: 32k}]"
SERVER, CONSUMER = 2, 5  # span kinds of OTLP
USER = "ada"


@dataclass
class Seen:
    """One installation's life, after it has ended."""

    collector: Collector
    output: dict[str, str]  # of each process
    told: list[str]  # what /metrics said
    titles: dict[str, str]
    problem: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)

    def lines(self, process: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output[process].splitlines()]


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory,
    s3_server: servers.AwsServer,
    dynamodb_server: servers.AwsServer,
) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("seen")
    known = {
        name: secrets.token_urlsafe(32)
        for name in ("redis", "origin", "webhook address", "collector")
    }
    known["signing"] = estate.new_signing_key()
    known |= {"s3": s3_server.secret_key, "webhook": receiving.SECRET.removeprefix("whsec_")}
    with ExitStack() as stack:
        receiver = stack.enter_context(
            receiving.receiving(lambda _, before: 204 if before else 500)
        )
        collector = stack.enter_context(collecting())
        redis = stack.enter_context(servers.redis(folder, password=known["redis"]))
        name = f"seen-{secrets.token_hex(4)}"
        port = command.free_port()
        environment = {
            **estate.environment(name, s3_server, dynamodb_server, redis, known["signing"]),
            "STREAM_ORIGIN_SECRETS": json.dumps([known["origin"]]),
            "STREAM_WEBHOOK_URL": f"{receiver.url}?key={known['webhook address']}",
            "STREAM_WEBHOOK_SECRET": receiving.SECRET,
            "STREAM_LOG_LEVEL": "debug",
            "STREAM_LOG_FORMAT": "json",
            "STREAM_FFMPEG_PROFILES": LADDER,
            "STREAM_WORKER_METRICSPORT": str(port),
            "STREAM_TRACING_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {known['collector']}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        created = command.run(folder, "doctor", "--create", **environment)
        assert created.returncode == 0, created.stdout + created.stderr

        def start(role: str, **variables: str) -> command.Service:
            return stack.enter_context(
                command.started(folder, command=role, **environment | variables)
            )

        origin, worker = start("origin"), start("worker")
        api = start("api", STREAM_ORIGIN_PUBLICURL=origin.url)
        command.until(api.is_ready)
        with httpx.Client(base_url=api.url, headers={"X-User-ID": USER}, timeout=60) as client:
            seen = Seen(collector, {}, [], {}, {}, known)
            _live(seen, client, origin.url)
            command.until(lambda: len(receiver.messages) > 3)
        metrics = [f"{url}/metrics" for url in (api.url, origin.url, f"http://127.0.0.1:{port}")]
        seen.told += [httpx.get(url).text for url in metrics]
        services = {"api": api, "origin": origin, "worker": worker}
        for each in services.values():
            assert each.stop(signal.SIGTERM) == 0, each.output()
        for number, message in enumerate(receiver.messages):
            known[f"webhook signature {number}"] = message.headers["webhook-signature"][3:]
        seen.output = {process: each.output() for process, each in services.items()}
        seen.output["doctor"] = created.stdout + created.stderr
        yield seen


def _live(seen: Seen, client: httpx.Client, origin: str) -> None:
    """Uploads in each way, playback, refusals and a file that is no film."""
    with CLIP.open("rb") as file:
        sent = client.post("/api/v1/upload", files={"file": file})
    seen.titles["form"] = sent.json()["id"]
    for method in ("PUT", "POST"):
        seen.titles[method] = _presigned(seen, client, method)
    bad = client.post("/api/v1/upload", files={"file": ("bad.mp4", b"no film" * 1000)})
    seen.titles["bad"] = bad.json()["id"]
    for media_id in seen.titles.values():
        command.until(lambda media_id=media_id: _has_ended(client, media_id))  # type: ignore[misc]
    playback = client.get(f"/api/v1/media/{seen.titles['form']}/playback").json()["url"]
    token = urlsplit(playback).path.split("/")[2]
    refused = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    seen.secrets |= {"token": token, "refused token": refused}
    assert httpx.get(playback).status_code == 200
    assert httpx.get(playback.replace(token, refused)).status_code == 403
    assert client.get(urlsplit(playback).path).status_code == 404  # of the wrong server
    assert client.post("/api/v1/cmcd", params={"token": refused}).status_code == 403
    behind = f"{origin}/v/{seen.titles['form']}/version/missing.m4s"
    given = {"X-Origin-Verify": seen.secrets["origin"]}
    assert httpx.get(behind, headers=given).status_code == 404
    seen.problem |= client.get("/api/v1/media/nobody").json()


def _presigned(seen: Seen, client: httpx.Client, method: str) -> str:
    content = CLIP.read_bytes()
    asked = {"filename": "clip.mp4", "method": method, "size": len(content)}
    target = client.post("/api/v1/upload/presign", json=asked).json()
    given = dict(parse_qsl(urlsplit(target["url"]).query)) | target["fields"]
    for name in ("X-Amz-Signature", "X-Amz-Credential", "policy", "x-amz-signature"):
        if name in given:
            seen.secrets[f"{method} {name}"] = given[name]
    if method == "PUT":
        sent = httpx.put(target["url"], content=content, headers=target["headers"])
    else:
        sent = httpx.post(target["url"], data=target["fields"], files={"file": content})
    assert sent.is_success, sent.text
    assert client.post(f"/api/v1/upload/{target['id']}/confirm").status_code == 200
    return str(target["id"])


def _has_ended(client: httpx.Client, media_id: str) -> bool:
    return client.get(f"/api/v1/media/{media_id}").json()["status"] in {"ready", "failed"}


def test_nothing_that_is_told_is_a_secret(seen: Seen) -> None:
    assert {"token", "refused token", "PUT X-Amz-Signature"} <= seen.secrets.keys()
    assert any("ignature" in name and "POST" in name for name in seen.secrets)
    told = {
        **seen.output,
        "metrics": "\n".join(seen.told),
        "spans": repr(seen.collector.spans),
    }
    found = [
        (name, place)
        for name, secret in seen.secrets.items()
        for place, text in told.items()
        if secret.rstrip("=") in text
    ]
    assert found == []
    for place in ("api", "worker", "spans"):
        assert seen.titles["form"] in told[place]


@pytest.mark.parametrize("process", ["api", "origin", "worker"])
def test_every_line_is_json(seen: Seen, process: str) -> None:
    for line in seen.lines(process):
        assert {"event", "level", "logger", "timestamp"} <= line.keys()


def test_request_has_a_line_with_its_ids(seen: Seen) -> None:
    path = f"/api/v1/media/{seen.titles['form']}/playback"
    (line,) = (line for line in seen.lines("api") if line.get("path") == path)
    assert (line["method"], line["status"], line["user"]) == ("GET", 200, USER)
    assert line["media"] == seen.titles["form"]
    assert line["request"]


def test_run_of_a_task_has_a_line_with_its_ids(seen: Seen) -> None:
    lines = [line for line in seen.lines("worker") if line["event"] == "task"]
    ours = {line["task"]: line for line in lines if line["media"] == seen.titles["PUT"]}
    assert {"plan", "video-00000", "audio", "join"} <= ours.keys()
    assert all(line["outcome"] == "done" and line["ms"] > 0 for line in ours.values())
    bad = [line for line in lines if line["media"] == seen.titles["bad"]]
    assert [(line["task"], line["outcome"]) for line in bad] == [("plan", "not_media")]


def upload_of(seen: Seen, title: str) -> Span:
    """The request that queued it."""
    (joined,) = (
        span
        for span in seen.collector.named("join")
        if span.attributes["headrace.media"] == seen.titles[title]
    )
    (upload,) = (span for span in seen.collector.of_trace(joined.trace_id) if not span.parent_id)
    return upload


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("form", "POST /api/v1/upload"),
        ("PUT", "POST /api/v1/upload/{id}/confirm"),
    ],
)
def test_title_is_one_trace_over_two_processes(seen: Seen, title: str, name: str) -> None:
    upload = upload_of(seen, title)
    assert (upload.name, upload.kind, upload.service) == (name, SERVER, "headrace-api")
    spans = [span for span in seen.collector.of_trace(upload.trace_id) if span is not upload]
    assert {span.service for span in spans} == {"headrace-worker"}
    publishing = [span for span in spans if span.name == "publish"]
    tasks = {span.id: span for span in spans if span.name != "publish"}
    assert {"plan", "video-00000", "audio", "join"} <= {span.name for span in tasks.values()}
    assert all((span.parent_id, span.kind) == (upload.id, CONSUMER) for span in tasks.values())
    assert publishing
    published_by = {tasks[span.parent_id].name for span in publishing}
    assert "join" in published_by
    assert published_by & {"video-00000", "audio"}
    assert {span.attributes["headrace.media"] for span in spans} == {seen.titles[title]}


def test_log_and_problem_name_the_trace(seen: Seen) -> None:
    upload = upload_of(seen, "form")
    for process, event in (("api", "request"), ("worker", "task")):
        lines = [line for line in seen.lines(process) if line["event"] == event]
        assert upload.trace_id in {line.get("trace_id") for line in lines}
    (refused,) = seen.collector.of_trace(seen.problem["trace_id"])
    assert refused.name == "GET /api/v1/media/{id}"
    assert refused.attributes["http.response.status_code"] == "404"


def test_collector_is_told_its_password_and_nothing_of_probes(seen: Seen) -> None:
    assert {path for path, _ in seen.collector.requests} == {"/v1/traces"}
    headers = [headers["authorization"] for _, headers in seen.collector.requests]
    assert set(headers) == {f"Bearer {seen.secrets['collector']}"}
    assert not any("/ready" in span.name for span in seen.collector.spans)


def test_tracing_that_is_off_needs_and_imports_nothing() -> None:
    """redis-py imports OpenTelemetry where it is installed; of ours nothing does."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import cli.worker, cli.serve, cli.supervisor, stores.objects.s3, stores.catalog.dynamodb\n"
        "print([name for name in sys.modules if name == 'stores.otlp' or 'protobuf' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
