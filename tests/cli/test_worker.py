import asyncio
from pathlib import Path

from media.asset import Asset, AssetType, Status
from stores.catalog.sqlite import SqliteCatalog
from tests.service import run


def test_worker_ends_when_it_cannot_look_after_unfinished_titles_any_more(tmp_path: Path) -> None:
    async def create_a_title_that_no_store_can_hold() -> None:
        (tmp_path / "data").mkdir()
        catalog = SqliteCatalog(tmp_path / "data" / "catalog.sqlite3")
        await catalog.create(
            Asset(
                id="..",
                user_id="user",
                title="Title",
                description="",
                type=AssetType.VIDEO,
                status=Status.DELETING,
                created_at_ms=0,
                updated_at_ms=0,
            )
        )
        await catalog.close()

    asyncio.run(create_a_title_that_no_store_can_hold())
    ended = run(tmp_path, "worker")
    assert ended.returncode == 1
    assert "_reconcile_forever" in ended.stderr
    assert "'source/..'" in ended.stderr
