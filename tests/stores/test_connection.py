import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from deployments.aws_local import servers
from deployments.aws_local.servers import RedisServer
from media.settings import RedisSettings
from stores.errors import Denied, TimedOut, Unavailable
from stores.jobs.bull import BullJobs
from stores.jobs.connection import RedisAddress, traits
from stores.jobs.queue import Queue
from stores.jobs.worker import BullWorker
from tests.stores.engine import ScriptedHandler
from tests.stores.redises import address_of, tls


@pytest.mark.parametrize(
    ("settings", "address", "name"),
    [
        (
            RedisSettings(host="jobs.example", username="u", password=SecretStr("p"), tls=True),
            RedisAddress("{headrace}", None, "jobs.example", 6379, 0, "u", "p", tls=True),
            "rediss://jobs.example:6379/0",
        ),
        (
            RedisSettings(host="::1", port=7000, prefix="a.b-c_1", cluster=True),
            RedisAddress("{a.b-c_1}", None, "::1", 7000, cluster=True),
            "redis://[::1]:7000/0",
        ),
        (
            RedisSettings(url=SecretStr("redis://jobs.example")),
            RedisAddress("{headrace}", None, "jobs.example", 6379),
            "redis://jobs.example:6379/0",
        ),
        (
            RedisSettings(url=SecretStr("rediss://u%40x:p%2F%3A@[::1]:7000/3")),
            RedisAddress("{headrace}", None, "::1", 7000, 3, "u@x", "p/:", tls=True),
            "rediss://[::1]:7000/3",
        ),
        (
            RedisSettings(url=SecretStr("unix://:pw@/run/my%20redis.sock")),
            RedisAddress("{headrace}", "/run/my redis.sock", password="pw"),
            "unix:///run/my redis.sock",
        ),
    ],
)
def test_address_follows_from_the_settings(
    settings: RedisSettings, address: RedisAddress, name: str
) -> None:
    assert RedisAddress.of(settings) == address
    assert str(address) == name


def test_without_host_and_url_there_is_no_address() -> None:
    assert RedisAddress.of(RedisSettings()) is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://h", "redis://", "redis://h:99999", "redis://h:port", "redis://h/name", "h:6379"),
        *("redis://:sec/ret@h", "redis://h?decode_responses=0", "unix://", "unix://run/redis.sock"),
    ],
)
def test_a_url_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValidationError, match="expected redis://user:password@host") as refused:
        RedisSettings(url=SecretStr(url))
    assert "sec/ret" not in str(refused.value)


def test_what_belongs_to_the_host_is_refused_beside_a_url() -> None:
    with pytest.raises(ValidationError, match="with url they are part of it"):
        RedisSettings(url=SecretStr("redis://h"), tls=True)


def test_no_password_is_shown() -> None:
    address = RedisAddress("{a}", password="hunter2")
    assert "hunter2" not in f"{address} {address!r}"


GOOD = {"redis_version": "7.2.4", "redis_mode": "standalone", "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, None),
        ({"redis_version": None}, None),
        ({"redis_version": "6.2.0"}, None),
        ({"redis_version": "255.255.255"}, None),
        ({"redis_version": "6.0.16"}, "is version 6.0.16: at least 6.2 is needed"),
        ({"redis_version": "5.0.7"}, "is version 5.0.7"),
        ({"redis_mode": "cluster"}, "is a cluster: set redis.cluster to true"),
        ({"maxmemory_policy": "volatile-lru"}, "its maxmemory-policy is volatile-lru, set it to"),
    ],
)
def test_what_redis_says_of_itself_is_judged(said: dict[str, Any], complaint: str | None) -> None:
    info = {key: value for key, value in (GOOD | said).items() if value is not None}
    address = RedisAddress("{a}", host="h")
    if complaint is None:
        address.check(info)
    else:
        with pytest.raises(Denied, match=re.escape(complaint)):
            address.check(info)


def asked(address: RedisAddress) -> None:
    async def scenario() -> None:
        jobs = BullJobs(address)
        try:
            await jobs.check()
        finally:
            await jobs.close()

    asyncio.run(scenario())


def worked(address: RedisAddress) -> None:
    asyncio.run(BullWorker(address, ScriptedHandler(Path()), 1, 1).run())


@pytest.mark.parametrize("start", [asked, worked])
@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_wrong_password_is_refused_at_once(
    redis_server: RedisServer, password: str | None, start: Any
) -> None:
    address = RedisAddress("{a}", host="127.0.0.1", port=redis_server.port, password=password)
    with pytest.raises(Denied, match="refuses the user name and password it is given"):
        start(address)


@pytest.mark.parametrize("start", [asked, worked])
def test_a_redis_that_evicts_is_refused(tmp_path: Path, start: Any) -> None:
    evicting = ("--maxmemory-policy", "allkeys-lru")
    refusal = pytest.raises(Denied, match="allkeys-lru, set it to noeviction or use another Redis")
    with servers.redis(tmp_path / "redis", *evicting) as server, refusal:
        start(address_of(server))


def test_what_a_user_may_not_do_is_named(redis_server: RedisServer) -> None:
    limited = RedisAddress(
        "{a}", host="127.0.0.1", port=redis_server.port, username="limited", password="pw"
    )

    async def scenario() -> None:
        async with address_of(redis_server).connect(0) as redis:
            await redis.acl_setuser("limited", enabled=True, passwords=["+pw"], commands=["+ping"])

    asyncio.run(scenario())
    with pytest.raises(Denied, match="no permissions to run the 'info' command"):
        asked(limited)


def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(Unavailable, match=r"redis://nowhere.invalid:6379/0 .* not known"):
        asked(RedisAddress("{a}", host="nowhere.invalid"))


def test_a_port_without_a_listener_is_named() -> None:
    port = servers.free_port()
    with pytest.raises(Unavailable, match=rf"redis://127.0.0.1:{port}/0 .* failed"):
        asked(RedisAddress("{a}", host="127.0.0.1", port=port))


def test_a_database_that_is_not_there_is_named(redis_server: RedisServer) -> None:
    address = RedisAddress(
        "{a}", host="127.0.0.1", port=redis_server.port, database=99, password="test"
    )
    with pytest.raises(Unavailable, match="/99 does not answer as it should: DB index is out of"):
        asked(address)


def test_one_redis_is_no_cluster(redis_server: RedisServer) -> None:
    address = RedisAddress(
        "{a}", host="127.0.0.1", port=redis_server.port, password="test", cluster=True
    )
    with pytest.raises(Unavailable, match=r"[Cc]luster"):
        asked(address)


def test_tls_is_trusted_by_certificate_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls(tmp_path) as (address, certificate):
        with pytest.raises(Denied, match=r"cannot be trusted, TLS says: .*self-signed certificate"):
            asked(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        asked(address)


def test_tls_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls(tmp_path, host="other.example") as (address, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(Denied, match=r"certificate is not valid for '127.0.0.1'"):
            asked(address)


def test_plain_words_to_a_tls_port_are_explained(tmp_path: Path) -> None:
    with tls(tmp_path) as (address, _certificate):
        plain = RedisAddress("{a}", host=address.host, port=address.port, password="secret")
        with pytest.raises(Unavailable, match=r"if it wants TLS, set redis.tls to true"):
            asked(plain)


def test_tls_to_a_plain_port_is_explained(redis_server: RedisServer) -> None:
    address = RedisAddress("{a}", host="127.0.0.1", port=redis_server.port, tls=True)
    with pytest.raises(TimedOut, match=r"if it speaks no TLS, leave redis.tls out"):
        asked(address)


@pytest.mark.parametrize(
    ("info", "ok", "found"),
    [
        ({"used_memory": 3 << 20}, True, "3 MiB used, no maxmemory"),
        ({"used_memory": 3 << 20, "maxmemory": 10 << 20}, True, "3 of 10 MiB used"),
        ({"used_memory": 9 << 20, "maxmemory": 10 << 20}, False, "9 of 10 MiB used"),
    ],
)
def test_memory_that_is_nearly_used_up_is_told(
    info: dict[str, object], ok: bool, found: str
) -> None:
    version, memory = traits({"redis_version": "7.2.4", "maxmemory_policy": "noeviction", **info})
    assert version.found == "7.2.4, noeviction"
    assert (memory.ok, memory.found, memory.needed) == (ok, found, False)


def test_no_cancellation_is_lost_in_redis_py(redis_server: RedisServer) -> None:
    address = address_of(redis_server)

    async def ask_forever(queue: Queue, through: str) -> None:
        while True:
            if through == "the client":
                await queue.redis.get("nothing")
            else:
                with address.reaching():
                    await queue.claim("nothing", 1)

    async def scenario(through: str) -> None:
        queue = Queue(address, 1)
        for turns in range(120):
            asking = asyncio.create_task(ask_forever(queue, through))
            for _ in range(turns % 40):
                await asyncio.sleep(0)
            asking.cancel()
            _, unheard = await asyncio.wait({asking}, timeout=60)
            assert not unheard
        await queue.close()

    for through in ("the client", "the address"):
        asyncio.run(scenario(through))
