"""What happens to a title at the very moment when a signed PUT of it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from media.asset import Asset, AssetType, Status
from media.keys import source_key
from media.settings import Settings
from server.api.app import make_api
from server.api.presign import SignedPuts
from server.tokens import TokenKeys
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Jobs
from stores.objects.base import ObjectInfo, ObjectWriter
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.server.api.test_presign import RULES

MEDIA_ID = "0" * 24
KEY = source_key(MEDIA_ID)
Event = Callable[[], Awaitable[object]]


async def nothing() -> None:
    pass


class Crossroads(FilesystemObjects):
    """Things happen before an object that was written is flushed, after it has its name, and
    before it is looked at."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before_flush: Event = nothing
        self.after_placing: Event = nothing
        self.before_head: Event = nothing

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectWriter]:
        async with super().writer(key) as writer:
            flush = writer.flush

            async def flush_later() -> None:
                await self.before_flush()
                await flush()

            writer.flush = flush_later  # type: ignore[method-assign]
            yield writer
        await self.after_placing()

    async def head(self, key: str) -> ObjectInfo:
        await self.before_head()
        return await super().head(key)


class Meeting:
    def __init__(self, folder: Path) -> None:
        self.objects = Crossroads(folder / "objects")
        self.catalog = SqliteCatalog(folder / "catalog")
        self._keys = TokenKeys({"k": bytes(32)})

    async def put(self) -> int:
        asset = Asset(MEDIA_ID, "u", "T", "", AssetType.VIDEO, Status.UPLOADING, 1, 1)
        await self.catalog.create(asset)
        api = make_api(Settings(), Stores(self.objects, self.catalog, Jobs()), self._keys)
        signer = SignedPuts(list(self._keys.secrets.values()))
        target = signer.target(MEDIA_ID, RULES, base_url="http://test")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as client:
            return (await client.put(target.url, content=b"new")).status_code

    async def confirm(self) -> None:
        await self.objects.put(KEY, b"confirmed")
        await self.catalog.transition(MEDIA_ID, Status.QUEUED)

    async def mark_deleted(self) -> None:
        await self.catalog.transition(MEDIA_ID, Status.DELETING)

    async def delete(self) -> None:
        await self.mark_deleted()
        await self.objects.delete(KEY)
        await self.catalog.remove(MEDIA_ID)

    async def stored(self) -> list[str]:
        return [info.key async for info in self.objects.list("")]

    async def close(self) -> None:
        await self.objects.close()
        await self.catalog.close()


def meet(folder: Path, body: Callable[[Meeting], Awaitable[None]]) -> None:
    async def run() -> None:
        meeting = Meeting(folder)
        try:
            await body(meeting)
        finally:
            await meeting.close()

    asyncio.run(run())


def test_what_is_confirmed_during_the_last_bytes_is_not_replaced(tmp_path: Path) -> None:
    async def body(meeting: Meeting) -> None:
        meeting.objects.before_flush = meeting.confirm
        assert await meeting.put() == 409
        assert (await meeting.objects.get(KEY))[0] == b"confirmed"

    meet(tmp_path, body)


@pytest.mark.parametrize(
    ("moment", "how_far"),
    [
        ("before_flush", "mark_deleted"),
        ("before_flush", "delete"),
        ("after_placing", "mark_deleted"),
        ("after_placing", "delete"),
        ("before_head", "delete"),
    ],
)
def test_what_is_deleted_meanwhile_leaves_no_object(
    tmp_path: Path, moment: str, how_far: str
) -> None:
    async def body(meeting: Meeting) -> None:
        setattr(meeting.objects, moment, getattr(meeting, how_far))
        assert await meeting.put() == 404
        assert await meeting.stored() == []

    meet(tmp_path, body)
