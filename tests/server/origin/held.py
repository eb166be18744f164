"""An origin in this process, over a store that waits, is away or answers as a test wants."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from media.settings import AwsSettings, OriginSettings, Settings, SigningSettings
from native.origin import Miss, Request, Response
from server.origin.app import Origin, create_origin
from server.tokens import TokenKeys, issue
from stores.errors import Unavailable
from stores.objects.base import ObjectInfo
from stores.objects.filesystem import FilesystemObjects

KEYS = TokenKeys({"k": bytes(32)})
TOKEN = issue(KEYS, "m1", 4_000_000_000)


def settings(root: Path, *, far: bool = False, disk_bytes: int = 0) -> Settings:
    """`far`: as if objects were in S3."""
    bucket = ("raw", "packages") if far or disk_bytes else (None, None)
    return Settings.model_validate(
        {
            "data": {"dir": root},
            "aws": AwsSettings(s3rawbucket=bucket[0], s3processedbucket=bucket[1]),
            "signing": SigningSettings(keys={"k": "A" * 43}),
            "origin": OriginSettings(cache=1 << 20, diskcache=disk_bytes),
        }
    )


class HeldObjects(FilesystemObjects):
    """Reads wait until they are let go, and are counted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = 0
        self.heads = 0
        self.away = False
        self.go = asyncio.Event()
        self.go.set()

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        self.reads += 1
        await self.go.wait()
        if self.away:
            raise Unavailable("the store is away")
        return await super().get(key)

    async def head(self, key: str) -> ObjectInfo:
        self.heads += 1
        if self.away:
            raise Unavailable("the store is away")
        return await super().head(key)


def run(
    root: Path,
    body: Callable[[Origin, HeldObjects], Awaitable[None]],
    *,
    far: bool = False,
    disk_bytes: int = 0,
) -> None:
    async def with_origin() -> None:
        objects = HeldObjects(root / "objects")
        origin = create_origin(objects, KEYS, settings(root, far=far, disk_bytes=disk_bytes))
        try:
            await body(origin, objects)
        finally:
            await origin.close()
            await objects.close()

    asyncio.run(with_origin())


async def ask(origin: Origin, name: str, method: str = "GET", **headers: str) -> Response:
    answer = origin.respond(Request(method, f"/t/{TOKEN}/v/m1/1/{name}", **headers))
    return await origin.fill(answer) if isinstance(answer, Miss) else answer


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)
