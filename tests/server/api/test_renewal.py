import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from media.asset import Status
from media.settings import Settings
from server.api import uploads
from server.api.app import make_api
from server.tokens import TokenKeys
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Jobs
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.server.api.forms import CONTENT_TYPE, file_part

DEADLINE_S = 30


def test_record_of_an_upload_under_way_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "RENEW_S", 0.01)

    async def scenario() -> None:
        objects, catalog = FilesystemObjects(tmp_path), SqliteCatalog(tmp_path / "catalog")
        api = make_api(Settings(), Stores(objects, catalog, Jobs()), TokenKeys({"k": bytes(32)}))

        async def expiry_ms() -> int:
            (record,) = await catalog.list_by_status([Status.UPLOADING])
            return record.upload_expires_at_ms

        async def form() -> AsyncIterator[bytes]:
            yield file_part(b"bytes")
            first_ms = await expiry_ms()
            assert 0 < first_ms - time.time() * 1000 <= uploads.LEASE_S * 1000
            async with asyncio.timeout(DEADLINE_S):
                while await expiry_ms() <= first_ms + 20:  # renewed, and more than once
                    await asyncio.sleep(0.01)

        headers = {"X-User-ID": "u", "Content-Type": CONTENT_TYPE}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as client:
            answer = await client.post("http://test/api/v1/upload", content=form(), headers=headers)
        assert answer.status_code == 400  # the form had no end
        assert await catalog.list_by_status([*Status]) == ()
        await objects.close()
        await catalog.close()

    asyncio.run(scenario())
