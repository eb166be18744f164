import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.settings import webhook_key
from server.receiver import signed_headers
from tests.server.api.service import metric
from tests.server.delivering import opened, run_until, until
from tests.server.lives import (
    LIFE,
    RETRIED_LIFE,
    live,
)
from tests.server.receiving import (
    SECRET,
    receiving,
)
from tests.service import ready, run
from tests.service import until as wait_until

ROOT = Path(__file__).parents[2]


@contextmanager
def deliverer(data: Path, url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.server.deliverer", str(data), url, "2"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_killed_deliverer_leaves_no_gap(tmp_path: Path) -> None:
    """Each is killed after some of the messages; some come twice, none is missing or too early."""

    async def scenario() -> None:
        with receiving() as receiver:
            async with opened(tmp_path) as catalog:
                ids = [await live(catalog, kinds=RETRIED_LIFE) for _ in range(8)]
            for kill_at in (5, 17, 40):
                with deliverer(tmp_path, receiver.url):
                    await until(partial(lambda count: len(receiver.messages) >= count, kill_at))
            with deliverer(tmp_path, receiver.url):
                await until(lambda: all(len(RETRIED_LIFE) in receiver.numbers(id_) for id_ in ids))
            for media_id in ids:
                first_times = [*dict.fromkeys(receiver.numbers(media_id))]
                assert first_times == [*range(1, len(RETRIED_LIFE) + 1)]

    asyncio.run(scenario())


def test_readme_tells_how_to_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(
        r"```python\n(.*?def verify.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    verify = names["verify"]
    got, _ = run_until(tmp_path, None, 1, LIFE)
    message = got.messages[0]
    verify(SECRET, message.headers, message.raw)
    other = {**message.headers, "webhook-signature": "v1,AAAA v1a,x"}
    both = {
        **message.headers,
        "webhook-signature": f"v1,AAAA {message.headers['webhook-signature']}",
    }
    verify(SECRET, both, message.raw)
    for secret, headers, body in (
        (SECRET, other, message.raw),
        (SECRET, message.headers, message.raw + b" "),
        (SECRET, message.headers | {"webhook-id": "1"}, message.raw),
        (SECRET.upper().replace("WHSEC_", "whsec_"), message.headers, message.raw),
    ):
        with pytest.raises(ValueError, match="not signed"):
            verify(secret, headers, body)
    key, now_s = webhook_key(SecretStr(SECRET)), time.time()
    monkeypatch.setattr(time, "time", lambda: now_s - 301)
    old = signed_headers(key, message.id, message.raw)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="too long ago"):
        verify(SECRET, old, message.raw)


def test_service_delivers_what_its_api_does(tmp_path: Path) -> None:
    with receiving() as receiver:
        settings = {"STREAM_WEBHOOK_URL": receiver.url, "STREAM_WEBHOOK_SECRET": SECRET}
        with (
            ready(tmp_path, command="api", **settings) as service,
            httpx.Client(base_url=service.url, headers={"X-User-ID": "ann"}) as client,
        ):
            presigned = client.post("/api/v1/upload/presign", json={"filename": "clip.mp4"})
            media_id = presigned.json()["id"]
            wait_until(lambda: receiver.numbers(media_id) == [1])
            assert client.delete(f"/api/v1/media/{media_id}").status_code == 204
            wait_until(lambda: receiver.numbers(media_id) == [1, 2])
            assert [m.body["type"] for m in receiver.taken] == ["media.created", "media.deleted"]
            name = 'headrace_webhook_deliveries_total{outcome="delivered"}'
            assert metric(client.get("/metrics").text, name) == 2
            assert service.stop(signal.SIGTERM) == 0
            assert "Traceback" not in service.output()


@pytest.mark.parametrize(
    ("variables", "mistake"),
    [
        ({"STREAM_WEBHOOK_URL": "https://a.example"}, "url and secret go together"),
        ({"STREAM_WEBHOOK_URL": "a.example"}, "expected a URL such as https://"),
        ({"STREAM_WEBHOOK_SECRET": "hunter2"}, "expected whsec_ and the base64 of 24 to 64 random"),
    ],
)
def test_service_refuses_to_start(variables: dict[str, str], mistake: str, tmp_path: Path) -> None:
    refused = run(tmp_path, "api", **variables)
    assert refused.returncode != 0
    assert mistake in refused.stderr
    assert "hunter2" not in refused.stderr
