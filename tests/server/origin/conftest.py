import asyncio
from collections.abc import Iterator

import pytest

from tests.server.origin.served import OBJECTS, Server, granian, put


@pytest.fixture(scope="module", params=["rsgi", "asgi"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp(request.param)
    asyncio.run(put(root, OBJECTS))
    with granian(request.param, root) as server:
        yield server
