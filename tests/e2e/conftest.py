import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.aws_local.servers import AwsServer
from tests.e2e.clips import ALL, CLIPS, LONG, MINUTE, ON_AWS, WATCHED, Uploaded
from tests.e2e.configurations import Aws, Embedded, Install
from tests.e2e.service import Service


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _repeats(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _repeats(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)  # of a parametrised test
    params = callspec.params if callspec else {}
    return params.get("install") == "aws" and "clip" in params and params["clip"] not in ON_AWS


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
def watched(service: Service) -> str:
    """The id of a title of the user `tests`, of 720p and half a minute."""
    media_id = service.upload(CLIPS / WATCHED, title=WATCHED)
    assert service.wait(media_id)["status"] == "ready"
    return media_id


@pytest.fixture(scope="session")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("minute") / MINUTE
    command = ["ffmpeg", "-v", "error", "-i", str(CLIPS / LONG), "-t", "60", "-c", "copy"]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="session")
def uploaded(request: pytest.FixtureRequest, install: Install, service: Service) -> Uploaded:
    """All clips are uploaded at once, so that they share the workers; the longest if it is asked
    for."""
    if install is not Embedded:
        return {name: service.upload(CLIPS / name, title=name) for name in ON_AWS}.__getitem__
    others = [name for name in ALL if name not in {LONG, WATCHED}]
    ids = {name: service.upload(CLIPS / name, title=name) for name in others}
    ids[MINUTE] = service.upload(request.getfixturevalue("minute"), title=MINUTE)
    ids[WATCHED] = request.getfixturevalue("watched")

    def media_id(name: str) -> str:
        if name not in ids:
            ids[name] = service.upload(CLIPS / name, title=name)
        return ids[name]

    return media_id
