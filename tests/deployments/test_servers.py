import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from redis import Redis

from deployments.aws_local import servers

PARENT = """
import sys
from pathlib import Path
from deployments.aws_local import servers
with getattr(servers, sys.argv[1])(Path(sys.argv[2])) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("start", [servers.seaweed, servers.ministack, servers.redis])
def test_two_run_at_once_and_nothing_is_left(start: Any, tmp_path: Path) -> None:
    with start(tmp_path / "a") as a, start(tmp_path / "b") as b:
        assert a != b
        assert psutil.pid_exists(a.pid) and psutil.pid_exists(b.pid)
        ports = [connection.laddr.port for connection in listening(a.pid, b.pid)]
    assert ports
    assert not psutil.pid_exists(a.pid) and not psutil.pid_exists(b.pid)
    assert [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")] == []


@pytest.mark.parametrize("start", [servers.seaweed, servers.ministack, servers.redis])
def test_it_listens_on_loopback_alone(start: Any, tmp_path: Path) -> None:
    with start(tmp_path) as server:
        assert {connection.laddr.ip for connection in listening(server.pid)} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["seaweed", "ministack", "redis"])
def test_the_kernel_kills_it_with_whoever_started_it(name: str, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, name, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    server.wait(10)


def test_seaweed_keeps_what_it_has_on_other_ports(tmp_path: Path) -> None:
    with servers.seaweed(tmp_path, port=servers.free_port()) as server:
        filer = filer_of(server)
        assert httpx.put(f"{filer}/kept", content=b"bytes").status_code == 201
    with servers.seaweed(tmp_path) as server:
        assert httpx.get(f"{filer_of(server)}/kept").content == b"bytes"
        assert httpx.put(f"{filer_of(server)}/more", content=b"other").status_code == 201
        assert httpx.get(f"{filer_of(server)}/kept").content == b"bytes"


def test_redis_is_durable_and_does_not_evict(tmp_path: Path) -> None:
    with servers.redis(tmp_path, password="secret") as server, Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("kept", "value")
    with servers.redis(tmp_path) as server, Redis.from_url(server.url) as client:
        assert client.get("kept") == b"value"


def test_arguments_of_redis_win(tmp_path: Path) -> None:
    started: AbstractContextManager[servers.RedisServer] = servers.redis(
        tmp_path, "--maxmemory-policy", "allkeys-lru"
    )
    with started as server, Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}


@pytest.mark.parametrize("start", [servers.seaweed, servers.ministack, servers.redis])
def test_a_port_in_use_is_told(start: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(servers.NotStarted, match=f"^port {port} is in use$"):
            start(tmp_path, port=port).__enter__()


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        servers.NotStarted, match=r"(?s)^redis-server ended with status 1.*nonsense"
    ):
        servers.redis(tmp_path, "--nonsense", "1").__enter__()


def filer_of(server: servers.AwsServer) -> str:
    port = httpx.URL(server.endpoint).port
    assert port is not None
    return f"http://127.0.0.1:{port + servers.WEED_PORTS.index('filer')}"


def listening(*pids: int) -> list[Any]:
    return [
        connection
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
