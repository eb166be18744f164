"""What only the store in a directory has: links, staged files, permissions, full disks."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stores.errors import Conflict, NotFound, Unavailable
from stores.objects.filesystem import FilesystemObjects
from tests.stores.sandboxes import run_as_nobody, run_on_small_disk
from tests.stores.victims import victim

Body = Callable[[FilesystemObjects], Coroutine[None, None, None]]


def run(root: Path, body: Body) -> None:
    async def opened() -> None:
        store = FilesystemObjects(root)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(opened())


def test_layout(tmp_path: Path) -> None:
    async def body(store: FilesystemObjects) -> None:
        await store.put("v/m/1/index.m3u8", b"#EXTM3U")
        assert (tmp_path / "v/m/1/index.m3u8").read_bytes() == b"#EXTM3U"
        assert list((tmp_path / ".tmp").iterdir()) == []

    run(tmp_path, body)


@pytest.mark.parametrize(
    "delete", [lambda store: store.delete("v/m/1/x"), lambda store: store.delete_prefix("v/m/1/")]
)
def test_emptied_folders_are_removed(
    tmp_path: Path, delete: Callable[[FilesystemObjects], Coroutine[None, None, None]]
) -> None:
    async def body(store: FilesystemObjects) -> None:
        await store.put("v/m/1/x", b"")
        await store.put("v/n/y", b"")
        await delete(store)
        assert [path.name for path in (tmp_path / "v").iterdir()] == ["n"]
        await store.delete_prefix("v/n/")
        assert [path.name for path in tmp_path.iterdir()] == [".tmp"]

    run(tmp_path, body)


def test_hidden_and_foreign_files_are_no_objects(tmp_path: Path) -> None:
    async def body(store: FilesystemObjects) -> None:
        await store.put("a/b", b"")
        (tmp_path / "a/.nfs0001").touch()
        (tmp_path / "a/\udcff").touch()
        os.mkfifo(tmp_path / "a/fifo")
        assert [info.key async for info in store.list("")] == ["a/b"]
        with pytest.raises(NotFound):
            await store.get("a/fifo")
        with pytest.raises(NotFound):
            await store.head("a/fifo")

    run(tmp_path, body)


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")

    async def body(store: FilesystemObjects) -> None:
        (root / "folder").symlink_to(outside)
        (root / "object").symlink_to(outside / "secret")
        for key in ("folder/secret", "object"):
            with pytest.raises(NotFound):
                await store.get(key)
            with pytest.raises(NotFound):
                await store.head(key)
            with pytest.raises(NotFound):
                (await store.source(key)).open()
        assert [info.key for prefix in ("", "folder/") async for info in store.list(prefix)] == []
        with pytest.raises(Unavailable, match="move away"):
            await store.put("folder/secret", b"replaced")
        await store.delete("folder/secret")
        assert await store.delete_prefix("folder/") == 0
        await store.put("object", b"mine")
        assert (await store.get("object"))[0] == b"mine"

    run(root, body)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_key_below_an_object_is_refused(tmp_path: Path) -> None:
    async def body(store: FilesystemObjects) -> None:
        await store.put("a", b"object")
        with pytest.raises(Unavailable, match="move away what stands where a directory is needed"):
            await store.put("a/b", b"")
        await store.put("c/d", b"object")
        with pytest.raises(Unavailable, match="move away the directory"):
            await store.put("c", b"")
        assert sorted([info.key async for info in store.list("")]) == ["a", "c/d"]
        assert list((tmp_path / ".tmp").iterdir()) == []

    run(tmp_path, body)


def staging_victim(root: Path, pipe: Connection) -> None:
    async def body(store: FilesystemObjects) -> None:
        async with store.writer("source/m") as writer:
            await writer.write(bytes(2 << 20))
            pipe.send("ready")
            await asyncio.sleep(600)

    run(root, body)


def test_sweep_removes_the_staged_files_of_the_dead_only(tmp_path: Path) -> None:
    staging = tmp_path / ".tmp"

    async def body(store: FilesystemObjects) -> None:
        async with store.writer("source/own") as writer:
            await writer.write(bytes(2 << 20))
            with victim(partial(staging_victim, tmp_path)):
                await store.sweep()
                assert len(list(staging.iterdir())) == 2
            await store.sweep()
            assert len(list(staging.iterdir())) == 1
        assert list(staging.iterdir()) == []
        assert [info.key async for info in store.list("")] == ["source/own"]

    run(tmp_path, body)


def test_missing_root_is_not_taken_for_missing_objects(tmp_path: Path) -> None:
    root = tmp_path / "root"

    async def listed(store: FilesystemObjects) -> None:
        async for _ in store.list(""):
            pass

    async def body(store: FilesystemObjects) -> None:
        root.rename(tmp_path / "elsewhere")
        for operation in (
            store.get("a"),
            store.head("a"),
            store.put("a", b""),
            store.delete("a"),
            store.delete_prefix("a/"),
            store.check(),
            listed(store),
        ):
            with pytest.raises(Unavailable, match="create it, or mount its disk"):
                await operation

    run(root, body)


def forbidden_report(root: Path) -> str:
    lines: list[str] = []

    async def body(store: FilesystemObjects) -> None:
        for operation in (store.put("new", b""), store.check(), store.get("kept")):
            try:
                await operation
            except Unavailable as exc:
                lines.append(str(exc))

    run(root, body)
    return "\n".join(lines)


def test_forbidden_directory() -> None:
    async def fill(store: FilesystemObjects) -> None:
        await store.put("kept", b"")

    with TemporaryDirectory() as name:
        parent = Path(name)
        parent.chmod(0o755)
        root = parent / "root"
        run(root, fill)
        (root / "kept").chmod(0)
        for folder in (root / ".tmp", root):
            folder.chmod(0o555)
        lines = run_as_nobody(partial(forbidden_report, root)).splitlines()
        for folder in (root, root / ".tmp"):
            folder.chmod(0o755)
    assert len(lines) == 3
    for line in lines:
        assert line.startswith(f"object store {root}: ")
        assert line.endswith("give the user that runs this process the right to read and write it")


def test_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    lines = run_on_small_disk(
        place, size="1m", module="tests.stores.objects.fill_disk"
    ).splitlines()
    no_space = (
        f"object store {place}: [Errno 28] No space left on device; free some space on its disk"
    )
    assert lines == [
        no_space,
        no_space,
        "a write of this upload had failed; it cannot become an object",
    ]


def test_etag_changes_although_the_clock_was_set_back(tmp_path: Path) -> None:
    next_year_ns = time.time_ns() + 365 * 24 * 3600 * 10**9

    async def body(store: FilesystemObjects) -> None:
        await store.put("k", b"one")
        os.utime(tmp_path / "k", ns=(next_year_ns, next_year_ns))
        await store.put("k", b"two")
        assert (tmp_path / "k").stat().st_mtime_ns == next_year_ns + 1

    run(tmp_path, body)


def open_descriptors() -> list[str]:
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    async def stray(store: FilesystemObjects) -> None:
        await store.put("a/b/c", b"")
        (tmp_path / "link").symlink_to(tmp_path)
        os.mkfifo(tmp_path / "fifo")
        for key in ("a/b/x", "a/x/c", "a/b", "a/b/c/d", "link/a", "link", "fifo"):
            for look in (store.get, store.head):
                with pytest.raises(NotFound):
                    await look(key)
        for key in ("a/b/x", "a/b", "a/b/c/d", "link/a"):
            await store.delete(key)
        for key in ("a/b", "a/b/c/d", "link/a"):
            with pytest.raises(Unavailable):
                await store.put(key, b"")
            with pytest.raises(Unavailable):
                async with store.writer(key):
                    pass
        with pytest.raises(Conflict):
            await store.put_if("a/b/c", b"", etag=None)
        async for _ in store.list(""):
            break
        await store.check()
        await store.sweep()
        await store.delete_prefix("a/")

    async def body(store: FilesystemObjects) -> None:
        await store.check()
        before = open_descriptors()
        await stray(store)
        assert open_descriptors() == before

    run(tmp_path, body)
