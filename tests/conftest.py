import re
import secrets
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from deployments.aws_local import estate, servers

INSTALL = re.compile(r"^tests/e2e/.*[\[-](aws|embedded)[\]-]")
LONG = (
    "tests/e2e/",
    "tests/chaos/",
    "tests/stores/catalog/test_races.py",
    "tests/cli/test_supervisor.py",
)

settings.register_profile("headrace", deadline=None)  # the time of one example is the machine's
settings.load_profile("headrace")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Of several processes, one gets all tests of a file, as they share what it sets up, or all
    that share an installation."""

    def _split_scope(self, nodeid: str) -> str:
        install = INSTALL.search(nodeid)
        return install[1] if install else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    config.option.loadscopereorder = False  # by the number of tests; the order below is by time
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes, none is to begin with what takes long when the others end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: [not item.nodeid.startswith(start) for start in LONG])


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """httpx reads all that it trusts for each client, in 28 ms; tests open thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context)
        )
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.AwsServer]:
    """One for all tests; each makes buckets of its own."""
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def dynamodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.AwsServer]:
    """One for all tests; each makes a table of its own."""
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    """One for all tests; each takes a key prefix of its own."""
    with servers.redis(tmp_path_factory.mktemp("redis"), password="test") as server:
        yield server


@pytest.fixture
def aws(
    s3_server: servers.AwsServer,
    dynamodb_server: servers.AwsServer,
    redis_server: servers.RedisServer,
) -> dict[str, str]:
    """The environment of an installation of its own, whose buckets and table are not made yet."""
    name = f"t{secrets.token_hex(4)}"
    key = estate.new_signing_key()
    return estate.environment(name, s3_server, dynamodb_server, redis_server, key)
