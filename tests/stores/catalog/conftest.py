from pathlib import Path

import pytest

from tests.stores.catalog.backends import CATALOGS, CatalogBackend


@pytest.fixture(params=sorted(CATALOGS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> CatalogBackend:
    return CatalogBackend(request.param, tmp_path / "catalog")
