import functools
from pathlib import Path

import botocore.session
import pytest

from deployments.aws_local.servers import AwsServer
from tests.stores.catalog.backends import NAMES, CatalogBackend

# botocore reads the description of DynamoDB for every session; tests open hundreds.
load_once = functools.cache(botocore.session.create_loader)


@pytest.fixture
def dynamodb(dynamodb_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    """The server, with its credentials where this process and its children look for them."""
    for name, value in dynamodb_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.session, "create_loader", load_once)
    return dynamodb_server


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> CatalogBackend:
    endpoint = None
    if request.param == "dynamodb":
        endpoint = request.getfixturevalue("dynamodb").endpoint
    return CatalogBackend(request.param, tmp_path / "catalog", endpoint)
