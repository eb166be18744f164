"""Run by test_filesystem.py on a disk of 1 MiB: what a store says and does when it is full."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from stores.errors import Unavailable
from stores.objects.filesystem import FilesystemObjects


async def main(root: Path) -> None:
    store = FilesystemObjects(root)
    await store.put("small", b"kept")
    for operation in (store.put("large", bytes(2 << 20)), stream(store), stream_on(store)):
        try:
            await operation
        except Unavailable as exc:
            print(exc)
    assert [info.key async for info in store.list("")] == ["small"]
    assert (await store.get("small"))[0] == b"kept"
    assert list((root / ".tmp").iterdir()) == []
    await store.put("small", bytes(500_000))
    await store.close()


async def stream(store: FilesystemObjects) -> None:
    async with store.writer("streamed") as writer:
        for _ in range(20):
            await writer.write(bytes(100_000))


async def stream_on(store: FilesystemObjects) -> None:
    """A caller that goes on after an error must not end up with a hole in its object."""
    async with store.writer("streamed") as writer:
        with suppress(Unavailable):
            await writer.write(bytes(2 << 20))
        await writer.write(b"the rest")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
