import pytest

from deployments.aws_local.servers import RedisServer
from stores.jobs.connection import RedisAddress
from tests.stores.redises import address_of


@pytest.fixture
def external(redis_server: RedisServer) -> RedisAddress:
    """Shared with other tests, but for the prefix."""
    return address_of(redis_server)


@pytest.fixture(params=["private", "external"])
def where(request: pytest.FixtureRequest) -> RedisAddress | None:
    if request.param == "private":
        return None
    external: RedisAddress = request.getfixturevalue("external")
    return external
