"""The other side: objects put into the origin's store without encoding, and viewers who ask."""

import asyncio
import random
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.cdn.tiers import KEYS, Cache
from media.playlists import START_AT_BEGINNING
from server.tokens import encode
from stores.objects.filesystem import FilesystemObjects

CONNECTIONS = 32
REPLAY_S = 3600  # at most
EXPIRES_AT_S = 4_000_000_000
PUTS = 32  # at once

# Every path once, in order, over all connections; then whatever is free asks for what is not
# counted until the last answer is in. wrk calls request() once before it starts, to look at it.
SCRIPT = """
local requests, sent, answered, failed = {}, -1, 0, 0
local filler
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
  filler = wrk.format("GET", "/done")
end
function request()
  sent = sent + 1
  return requests[sent] or filler
end
function response(status)
  if status == 204 then return end
  answered = answered + 1
  if status ~= 200 then failed = failed + 1 end
  if answered == #requests then
    print("GOOD " .. answered - failed)
    io.stdout:flush()
  end
end
"""


def playlist(segments: int, *, growing: bool) -> bytes:
    head = ["#EXTM3U", "#EXT-X-VERSION:6", *([START_AT_BEGINNING] if growing else [])]
    return "\n".join([*head, *(f"#EXTINF:6,\n{n:05d}.m4s" for n in range(segments))]).encode()


def put(data: Path, objects: Iterable[tuple[str, bytes]]) -> None:
    """Into the store of an origin whose data directory this is."""

    async def put_all() -> None:
        store = FilesystemObjects(data / "objects")
        gate = asyncio.Semaphore(PUTS)

        async def put_one(key: str, body: bytes) -> None:
            async with gate:
                await store.put(key, body)

        async with asyncio.TaskGroup() as tasks:
            for key, body in objects:
                tasks.create_task(put_one(key, body))
        await store.close()

    asyncio.run(put_all())


def token(media_id: str, viewer: int) -> str:
    """A viewer's own."""
    return encode(KEYS, media_id, EXPIRES_AT_S, viewer.to_bytes(16))


def path(key: str, viewer: int) -> str:
    return f"/t/{token(key.split('/')[1], viewer)}/{key}"


def told(choice: random.Random) -> str:
    """What a player adds as CMCD, different each time."""
    return f"?CMCD=bl%3D{choice.randrange(30_000)}%2Csid%3D%22{choice.getrandbits(64):x}%22"


def replay(paths: Mapping[Cache, Sequence[str]], folder: Path) -> None:
    """Every viewer asks at one edge; all edges at once. Raises if an answer is not 200."""
    script = folder / "replay.lua"
    script.write_text(SCRIPT)
    running = []
    for cache, listed in paths.items():
        listing = folder / f"paths-{cache.port}"
        listing.write_text("\n".join(listed) + "\n")
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{REPLAY_S}s", "--timeout", "60s"]
        command += ["-s", str(script), cache.url, "--", str(listing)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append((process, len(listed)))
    for process, expected in running:
        with process:
            assert process.stdout is not None
            good = next((line for line in process.stdout if line.startswith("GOOD")), "none")
            process.kill()  # it would go on until its time is over
        if good != f"GOOD {expected}\n":
            raise RuntimeError(f"expected {expected} requests answered with 200, got {good}")
