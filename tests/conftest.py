import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings

from deployments.aws_local import estate, servers

settings.register_profile("headrace", deadline=None)  # the time of one example is the machine's
settings.load_profile("headrace")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run in several processes, tests that share a running service stay in one of them, as do
    those of a file."""
    for item in items:
        callspec = getattr(item, "callspec", None)  # of a parametrised test
        service = callspec.params.get("install") if callspec else None
        group = f"e2e {service}" if service else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


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
