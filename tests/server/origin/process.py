"""What the server processes of these tests serve: each shell over a store on disk. As a program
it is the HTTP/1.1 shell, on the port and with as many processes as it is told.

<root>/objects    the store
<root>/reads      a line per object read
<root>/hold       while this exists, reads wait
<root>/disk       if this exists at the start, there is a disk cache in <root>/origin-cache
"""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

from granian.constants import Loops
from pydantic import SecretStr

from cli.listening import GENERATIONS, OriginServer, Seat
from media.settings import DataSettings, OriginSettings, Settings
from server.origin.app import Origin, create_origin
from server.origin.asgi import OriginASGI
from server.origin.board import Board
from server.origin.http1 import OriginHTTP
from server.origin.system import PATHS
from server.tokens import TokenKeys
from stores.errors import Unavailable
from stores.objects.base import ObjectInfo, ObjectStore
from stores.objects.filesystem import FilesystemObjects

ROOT = "TEST_ORIGIN_ROOT"
KEYS = TokenKeys({"new": b"n" * 32, "old": b"o" * 32})
SECRETS = ("n" * 40, "o" * 32)
SETTINGS = Settings(origin=OriginSettings(cache=1 << 20, secrets=tuple(map(SecretStr, SECRETS))))


class WatchedObjects(FilesystemObjects):
    def __init__(self, root: Path) -> None:
        super().__init__(root / "objects")
        self._reads = root / "reads"
        self._hold = root / "hold"

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        with self._reads.open("a") as file:
            file.write(key + "\n")
        while self._hold.exists():
            await asyncio.sleep(0.005)
        if "unavailable" in key:
            raise Unavailable("the store is away")
        return await super().get(key)


def _settings(root: Path) -> Settings:
    if not (root / "disk").exists():
        return SETTINGS
    origin = SETTINGS.origin.model_copy(update={"diskcache": 1 << 24})
    return SETTINGS.model_copy(update={"origin": origin, "data": DataSettings(dir=root)})


def _origin(root: Path, objects: ObjectStore) -> Origin:
    return create_origin(objects, KEYS, _settings(root), beside=PATHS)


def http1(board: Board, seat: Seat) -> OriginHTTP:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it serves; as `cli.serve` does
    root = Path(os.environ[ROOT])
    objects = WatchedObjects(root)
    origin = _origin(root, objects)
    board.join(seat.number)
    return OriginHTTP(origin, objects, board, _settings(root))


def asgi() -> OriginASGI:
    root = Path(os.environ[ROOT])
    return OriginASGI(_origin(root, WatchedObjects(root)))


def main(port: int, processes: int) -> None:
    board = Board(GENERATIONS * processes)
    server = OriginServer(
        "test", port=port, workers=processes, loop=Loops.uvloop, workers_kill_timeout=8
    )
    server.serve_origins(partial(http1, board))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
