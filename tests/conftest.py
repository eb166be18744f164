from collections.abc import Iterator

import pytest
from hypothesis import settings

from deployments.aws_local import servers

settings.register_profile("headrace", deadline=None)  # the time of one example is the machine's
settings.load_profile("headrace")


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
