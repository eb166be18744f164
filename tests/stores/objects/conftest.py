import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings
from tests.stores.objects.backends import OBJECT_STORES, ObjectBackend
from tests.stores.objects.buckets import aws_settings, make_empty
from tests.stores.objects.proxy import Proxy, faulty


@pytest.fixture
def aws(s3_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsSettings:
    """Two empty buckets, and credentials in the environment for them."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    settings = aws_settings(s3_server)
    asyncio.run(make_empty(settings))
    return settings


@pytest.fixture
def proxy(s3_server: AwsServer) -> Iterator[Proxy]:
    with faulty(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture(params=OBJECT_STORES)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBackend:
    if request.param == "s3":
        return ObjectBackend(request.getfixturevalue("aws"))
    return ObjectBackend(tmp_path / "objects")
