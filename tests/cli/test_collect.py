import asyncio
from pathlib import Path

from media.asset import Asset, AssetType, Status
from stores.catalog.sqlite import SqliteCatalog
from tests.service import run

MEDIA_ID = "0123456789abcdef01234567"
STRAY = f"v/{MEDIA_ID}/0123456789ab/index.m3u8"


async def forget_title(directory: Path) -> None:
    catalog = SqliteCatalog(directory / "catalog.sqlite3")
    await catalog.create(Asset(MEDIA_ID, "u", "t", "", AssetType.VIDEO, Status.UPLOADING, 1, 1))
    await catalog.remove(MEDIA_ID)
    await catalog.close()


def test_what_belongs_to_no_title_is_shown_and_then_removed(tmp_path: Path) -> None:
    stray = tmp_path / "data" / "objects" / STRAY
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"#EXTM3U")
    asyncio.run(forget_title(tmp_path / "data"))

    told = run(tmp_path, "collect", "--dry-run")
    line = f"v/{MEDIA_ID}/: it belongs to no title"
    assert (told.returncode, told.stdout.splitlines()) == (
        0,
        [line, "1 would be removed; nothing was"],
    )
    assert stray.exists()

    done = run(tmp_path, "collect")
    assert (done.returncode, done.stdout.splitlines()) == (0, [line, "1 removed"])
    assert not stray.exists()
    assert run(tmp_path, "collect").stdout == "nothing to remove\n"
