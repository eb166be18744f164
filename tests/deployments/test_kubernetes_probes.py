"""The probes of the manifests, asked of real processes: what is away makes a pod unready, and has
none of them restarted."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx

from deployments.aws_local.servers import redis
from tests.deployments.manifests import container_of, of_kind, render
from tests.service import Service, free_port, started, until

KINDS = ("startupProbe", "readinessProbe", "livenessProbe")


def probe(name: str, kind: str, address: str) -> int:
    """The status; 0 is no answer."""
    container = container_of(of_kind(render("production"), "Deployment")[name])
    asked = container[kind]["httpGet"]
    assert asked["port"] == container["ports"][0]["name"]
    try:
        return httpx.get(
            address + asked["path"], timeout=container[kind]["timeoutSeconds"]
        ).status_code
    except httpx.ConnectError:
        return 0


def test_probes_tell_stores_that_are_away_from_a_process_that_is(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stores = stack.enter_context(ExitStack())
        jobs = stores.enter_context(redis(tmp_path / "redis"))
        (tmp_path / "data").mkdir()
        variables = {"STREAM_REDIS_URL": jobs.url, "STREAM_WORKER_METRICSPORT": str(free_port())}
        parts: dict[str, Service] = {
            name: stack.enter_context(started(tmp_path, command=name, **variables))
            for name in ("api", "origin", "worker")
        }
        addresses = {name: part.url for name, part in parts.items()}
        addresses["worker"] = f"http://127.0.0.1:{variables['STREAM_WORKER_METRICSPORT']}"
        for name, address in addresses.items():
            until(partial(answers, name, "startupProbe", 200, address))
            assert [probe(name, kind, address) for kind in KINDS] == [200, 200, 200], name
        stores.close()
        objects = tmp_path / "data" / "objects"
        objects.rename(tmp_path / "elsewhere")
        objects.write_text("no directory")
        for name in ("api", "origin"):
            until(partial(answers, name, "readinessProbe", 503, addresses[name]))
            assert probe(name, "livenessProbe", addresses[name]) == 200, name
        assert [probe("worker", kind, addresses["worker"]) for kind in KINDS] == [200, 200, 200]


def answers(name: str, kind: str, status: int, address: str) -> bool:
    return probe(name, kind, address) == status
