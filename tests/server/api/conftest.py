from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.api.description import Description
from tests.server.api.service import Server, client_of, description_of, player_page, running_server

MAX_UPLOAD_BYTES = 1_000_000


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    with running_server(folder, page=player_page(folder), maxupload=MAX_UPLOAD_BYTES) as server:
        yield server


@pytest.fixture(scope="session")
def description(server: Server) -> Description:
    return description_of(server)


@pytest.fixture
def client(server: Server, description: Description) -> Iterator[httpx.Client]:
    """A user of its own for every test."""
    with client_of(server, description) as client:
        yield client


@pytest.fixture
def nothing_left(server: Server, client: httpx.Client) -> Iterator[None]:
    """The test's user has no title at its end, and the object store what it had before."""
    before = server.objects()
    yield
    assert client.get("/api/v1/media").json()["items"] == []
    assert server.objects() == before


@pytest.fixture
def data_dir(server: Server) -> Path:
    return server.data
