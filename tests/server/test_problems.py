import asyncio
from pathlib import Path

import httpx
import pytest
import structlog

from media.settings import Settings
from server.api.app import make_api
from server.problems import KINDS, Problem, kind_of
from server.tokens import TokenKeys
from stores.catalog.base import Page
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Denied, Throttled, TimedOut, Unavailable
from stores.jobs.base import Jobs
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores

SECRET = "arn:aws:iam::123456789012:role/headrace is not allowed to GetItem at 10.0.0.7"


def test_every_problem_has_its_kind() -> None:
    assert [cls for cls in Problem.__subclasses__() if cls not in KINDS] == []


@pytest.mark.parametrize("error", [Unavailable, TimedOut, Throttled, Denied])
def test_store_that_fails_is_503_without_its_reason(
    tmp_path: Path, error: type[Unavailable]
) -> None:
    class Failing(SqliteCatalog):
        async def list_by_user(self, user_id: str, *, limit: int, cursor: str | None) -> Page:
            raise error(SECRET)

    async def ask() -> httpx.Response:
        objects, catalog = FilesystemObjects(tmp_path), Failing(tmp_path / "catalog")
        api = make_api(Settings(), Stores(objects, catalog, Jobs()), TokenKeys({"k": bytes(32)}))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as client:
            answer = await client.get("http://test/api/v1/media", headers={"X-User-ID": "u"})
        await objects.close()
        await catalog.close()
        return answer

    with structlog.testing.capture_logs() as logs:
        answer = asyncio.run(ask())
    assert (answer.status_code, kind_of(error(SECRET)).name) == (503, "store-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["type"] == "urn:headrace:problem:store-unavailable"
    assert "arn:" not in answer.text
    assert "10.0.0.7" not in str(answer.headers)
    assert [log["reason"] for log in logs if log["event"] == "store unavailable"] == [SECRET]
