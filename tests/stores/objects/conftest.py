from pathlib import Path

import pytest

from tests.stores.objects.backends import OBJECT_STORES, ObjectBackend


@pytest.fixture(params=sorted(OBJECT_STORES))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBackend:
    return ObjectBackend(request.param, tmp_path / "objects")
