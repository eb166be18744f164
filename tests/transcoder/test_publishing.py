import asyncio
import random
from pathlib import Path

import pytest

from media.keys import INDEX
from media.playlists import START_AT_BEGINNING
from media.publish import Publication
from stores.objects.filesystem import FilesystemObjects
from transcoder.publishing import write_files

KEY = "v/m1/abc/720p/playlist.m3u8"


def growing(count: int) -> Publication:
    text = f"#EXTM3U\n{START_AT_BEGINNING}\n" + "#EXTINF:6,\nsegment\n" * count
    return Publication(((KEY, text),), 6.0 * count, True, False, 0.5, ())


FINAL = Publication(
    ((KEY, "#EXTM3U\n" + "#EXTINF:6,\nsegment\n" * 20),), 120.0, True, True, 1.0, ()
)


@pytest.mark.parametrize("seed", range(5))
def test_publishers_in_any_order_converge(tmp_path: Path, seed: int) -> None:
    publications = [growing(count) for count in range(1, 21)]
    random.Random(seed).shuffle(publications)

    async def scenario() -> bytes:
        objects = FilesystemObjects(tmp_path)
        try:
            await asyncio.gather(*(write_files(objects, shown, {}) for shown in publications))
            data, _ = await objects.get(KEY)
            return data
        finally:
            await objects.close()

    assert asyncio.run(scenario()).decode() == growing(20).files[0][1]


def test_final_playlist_is_never_taken_back(tmp_path: Path) -> None:
    async def scenario() -> str:
        objects = FilesystemObjects(tmp_path)
        try:
            for shown in (growing(3), FINAL, growing(20), FINAL):
                await write_files(objects, shown, {})
            _, first = await objects.get(KEY)
            await write_files(objects, growing(20), {})
            data, second = await objects.get(KEY)
            assert first.etag == second.etag
            return data.decode()
        finally:
            await objects.close()

    assert asyncio.run(scenario()) == FINAL.files[0][1]
    assert INDEX not in {path.name for path in tmp_path.rglob("*")}
