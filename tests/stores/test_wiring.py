import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.aws_local import servers
from media.settings import DataSettings, RedisSettings, Settings
from stores import wiring
from stores.errors import Denied, Unavailable


def external_redis(url: str, data: Path) -> Settings:
    redis = RedisSettings.model_validate({"url": url})
    return Settings(redis=redis, data=DataSettings(dir=data))


def test_installation_without_configuration_waits_for_nothing(tmp_path: Path) -> None:
    asyncio.run(wiring.wait_for_stores(Settings(data=DataSettings(dir=tmp_path / "data"))))
    assert list(tmp_path.iterdir()) == []


def test_store_that_must_not_be_used_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "START_PATIENCE_S", 0.1)
    with servers.redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as redis:
        waiting = wiring.wait_for_stores(external_redis(redis.url, tmp_path))
        with pytest.raises(Denied, match="maxmemory-policy is allkeys-lru, set it to noeviction"):
            asyncio.run(waiting)


def test_store_that_is_away_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "RETRY_S", 0.05)
    port = servers.free_port()
    settings = external_redis(f"redis://127.0.0.1:{port}", tmp_path)

    async def start_while_waiting() -> None:
        waiting = asyncio.create_task(wiring.wait_for_stores(settings))
        while "a store is not to be used yet" not in caplog.text:
            await asyncio.sleep(0.05)
        with servers.redis(tmp_path, port=port):
            await waiting

    asyncio.run(start_while_waiting())


def test_store_that_stays_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "START_PATIENCE_S", 0.1)
    port = servers.free_port()
    waiting = wiring.wait_for_stores(external_redis(f"redis://127.0.0.1:{port}", tmp_path))
    with pytest.raises(Unavailable, match=f"Redis at redis://127.0.0.1:{port}/0 does not answer"):
        asyncio.run(waiting)


def test_private_redis_is_not_started_beside_another(
    redis_server: servers.RedisServer, tmp_path: Path
) -> None:
    async def open_them() -> None:
        async with wiring.open_stores(external_redis(redis_server.url, tmp_path)) as stores:
            await stores.jobs.check()
            assert not (tmp_path / "run").exists()

    asyncio.run(open_them())


def test_origin_asks_nothing_but_its_objects(tmp_path: Path) -> None:
    nowhere = external_redis(f"redis://127.0.0.1:{servers.free_port()}", tmp_path)
    asyncio.run(wiring.wait_for_stores(nowhere, objects_only=True))


def test_aws_is_not_loaded_where_it_is_not_used() -> None:
    program = "import sys, stores.wiring; print([m for m in sys.modules if 'boto' in m])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout == b"[]\n"
