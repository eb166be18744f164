from collections.abc import Iterator

import pytest

from tests.deployments.containers import ROOT, Containers


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Podman with the stand-ins of all bases, for tests marked `deploy` alone."""
    made = Containers(ROOT / "build/containers")
    with made.storage():
        made.build_standins(made.build_base())
        yield made


@pytest.fixture(scope="session")
def images(containers: Containers) -> dict[str, str]:
    """Target to image."""
    return containers.build_product()
