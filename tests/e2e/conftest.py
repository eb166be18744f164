from collections.abc import Iterator

import pytest

from deployments.aws_local.servers import AwsServer
from tests.e2e.clips import ALL, CLIPS, Uploaded
from tests.e2e.configurations import Aws, Embedded, Install
from tests.e2e.service import Service


@pytest.fixture(scope="session", params=["embedded", "aws"])
def install(request: pytest.FixtureRequest) -> Iterator[Install]:
    if request.param == "embedded":
        yield Embedded
        return
    s3: AwsServer = request.getfixturevalue("s3_server")
    dynamodb: AwsServer = request.getfixturevalue("dynamodb_server")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3.environment().items():
            environment.setenv(name, value)
        yield lambda directory: Aws(directory, s3, dynamodb)


@pytest.fixture(scope="session")
def service(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with install(tmp_path_factory.mktemp("service")).running() as service:
        yield service


@pytest.fixture(scope="session")
def uploaded(service: Service) -> Uploaded:
    """All clips are uploaded at once, so that they share the workers; the long one goes last."""
    names = sorted(ALL, key=lambda name: name.startswith("long-"))
    ids = {name: service.upload(CLIPS / name, title=name) for name in names}
    return ids.__getitem__
