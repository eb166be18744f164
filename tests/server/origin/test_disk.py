import asyncio
import os
import time
from pathlib import Path

import pytest

from media.keys import init_name, segment_name
from server.origin import disk, fill
from server.origin.app import Origin
from server.origin.diskfiles import DiskFiles
from stores.objects.base import ObjectStore
from tests.server.origin.held import HeldObjects, ask, run

DISK_BYTES = 1 << 20
BODY = b"segment" * 1000
NAME = segment_name(1, BODY)


@pytest.fixture(autouse=True)
def _memory_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "IMMUTABLE_LIFE", fill.Life(0, 0))


def files_in(root: Path) -> list[Path]:
    return sorted((root / "origin-cache").glob("??/*"))


async def written(origin: Origin, count: int) -> None:
    while origin.stats().disk_writes < count:
        await asyncio.sleep(0.001)


async def put_and_ask(origin: Origin, objects: ObjectStore, name: str = NAME) -> None:
    await objects.put(f"v/m1/1/{name}", BODY)
    assert (await ask(origin, name)).body == BODY


def age(path: Path, seconds: float) -> None:
    at_s = time.time() - seconds
    os.utime(path, (at_s, at_s))


@pytest.mark.parametrize("name", [NAME, init_name(BODY)])
def test_object_is_read_from_the_store_once(tmp_path: Path, name: str) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects, name)
        await written(origin, 1)
        again = await ask(origin, name)
        assert (again.body, dict(again.headers)["cache-control"]) == (BODY, fill.IMMUTABLE)
        assert (objects.reads, objects.heads, origin.stats().disk_hits) == (1, 0, 1)

    run(tmp_path, body, disk_bytes=DISK_BYTES)

    async def restarted(origin: Origin, objects: HeldObjects) -> None:
        assert (await ask(origin, name)).body == BODY
        assert (objects.reads, origin.stats().disk_hits) == (0, 1)

    run(tmp_path, restarted, disk_bytes=DISK_BYTES)


def test_only_what_its_name_vouches_for_goes_to_the_disk(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        for name in ("playlist.m3u8", "00001-a.m4s", segment_name(2, b"other bytes")):
            await put_and_ask(origin, objects, name)
        assert (await ask(origin, NAME)).status == 404

    run(tmp_path, body, disk_bytes=DISK_BYTES)
    assert files_in(tmp_path) == []


def test_damaged_object_is_read_from_the_store_again(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        files_in(tmp_path)[0].write_bytes(BODY[:-1])
        assert (await ask(origin, NAME)).body == BODY
        await written(origin, 2)
        assert (await ask(origin, NAME)).body == BODY
        stats = origin.stats()
        assert (objects.reads, stats.disk_damaged, stats.disk_hits) == (2, 1, 1)

    run(tmp_path, body, disk_bytes=DISK_BYTES)


def test_store_is_asked_now_and_then_whether_it_still_has_the_object(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        (path,) = files_in(tmp_path)
        age(path, disk.CHECKED_FOR_S + 1)
        assert [(await ask(origin, NAME)).status for _ in range(3)] == [200] * 3
        assert (objects.reads, objects.heads) == (1, 1)
        age(path, disk.CHECKED_FOR_S + 1)
        await objects.delete(f"v/m1/1/{NAME}")
        assert (await ask(origin, NAME)).status == 404
        assert files_in(tmp_path) == []

    run(tmp_path, body, disk_bytes=DISK_BYTES)


@pytest.mark.parametrize(("unchecked_for_s", "status"), [(3600, 200), (2 * 86400, 503)])
def test_disk_goes_on_serving_while_the_store_is_away(
    tmp_path: Path, unchecked_for_s: float, status: int
) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        age(files_in(tmp_path)[0], unchecked_for_s)
        objects.away = True
        assert [(await ask(origin, NAME)).status for _ in range(3)] == [status] * 3
        assert objects.heads == 1  # and not again for a moment

    run(tmp_path, body, disk_bytes=DISK_BYTES)


def test_purge_and_the_end_of_a_deletion_reach_the_disk(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        origin.withhold("v/m1/")
        assert (await ask(origin, NAME)).status == 404
        await objects.delete(f"v/m1/1/{NAME}")
        origin.release("v/m1/")
        origin.purge("v/m1/")
        assert (await ask(origin, NAME)).status == 404

    run(tmp_path, body, disk_bytes=DISK_BYTES)


def test_disk_that_cannot_be_used_is_as_if_there_were_none(tmp_path: Path) -> None:
    (tmp_path / "origin-cache").write_text("not a directory")

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        errors = origin.stats().disk_errors
        assert errors > 0
        for _ in range(3):  # it is left alone for a while
            assert (await ask(origin, NAME)).body == BODY
        assert (objects.reads, origin.stats().disk_errors) == (4, errors)

    run(tmp_path, body, disk_bytes=DISK_BYTES)


def test_full_disk_is_left_alone_for_a_while(tmp_path: Path) -> None:
    other = segment_name(2, BODY)
    path = DiskFiles(tmp_path / "origin-cache", 1).path(f"v/m1/1/{other}")

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{path.name}.new").symlink_to("/dev/full")
        await put_and_ask(origin, objects, other)
        while not origin.stats().disk_errors:
            await asyncio.sleep(0.001)
        assert (await ask(origin, other)).body == BODY
        stats = origin.stats()
        assert (objects.reads, stats.disk_errors, stats.disk_writes) == (3, 1, 1)

    run(tmp_path, body, disk_bytes=DISK_BYTES)
    assert not path.parent.joinpath(f"{path.name}.new").is_symlink()


def test_disk_that_hangs_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "DISK_PATIENCE_S", 0.05)

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        await written(origin, 1)
        (path,) = files_in(tmp_path)
        path.unlink()
        os.mkfifo(path)  # whoever opens it to read waits for a writer
        for _ in range(3):
            assert (await ask(origin, NAME)).body == BODY
        assert (objects.reads, origin.stats().disk_errors) == (4, 1)
        os.close(os.open(path, os.O_WRONLY))

    run(tmp_path, body, disk_bytes=DISK_BYTES)


def test_turn_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "TURN_PATIENCE_S", 0.05)
    monkeypatch.setattr(DiskFiles, "take_turn", lambda self, key: False)

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await put_and_ask(origin, objects)
        assert objects.reads == 1

    run(tmp_path, body, disk_bytes=DISK_BYTES)
