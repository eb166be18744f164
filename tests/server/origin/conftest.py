import asyncio
from collections.abc import Iterator

import pytest

from tests.server.origin.served import OBJECTS, Server, put, serving


@pytest.fixture(scope="module", params=["http1", "asgi"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp(request.param)
    asyncio.run(put(root, OBJECTS))
    with serving(request.param, root) as server:
        yield server
