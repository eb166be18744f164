from collections.abc import Iterator

import pytest

from tests.e2e.clips import ALL, CLIPS, Uploaded
from tests.e2e.service import Service, running_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def uploaded(service: Service) -> Uploaded:
    """All clips are uploaded at once, so that they share the workers; the long one goes last."""
    names = sorted(ALL, key=lambda name: name.startswith("long-"))
    ids = {name: service.upload(CLIPS / name, title=name) for name in names}
    return ids.__getitem__
