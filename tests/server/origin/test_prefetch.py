import asyncio
from pathlib import Path

import pytest

from media.keys import PLAYLIST, init_name, segment_name
from media.playlists import MediaPlaylist, MediaSegment, PlaylistType
from server.origin import fill
from server.origin.app import Origin
from server.origin.prefetch import uri_behind
from tests.server.origin.held import HeldObjects, ask, run, settle

BODIES = [b"%d" % n for n in range(5)]
NAMES = [segment_name(n, body) for n, body in enumerate(BODIES)]
TEXT = MediaPlaylist(
    6,
    PlaylistType.VOD,
    init_name(b"init"),
    1000,
    tuple(MediaSegment(6000, name) for name in NAMES),
).render()


def test_uri_behind_finds_the_next_segment_and_no_other() -> None:
    playlist = TEXT.encode()
    assert [uri_behind(playlist, name) for name in NAMES] == [*NAMES[1:], None]
    for other in ("", "00001", NAMES[1][1:], init_name(b"init"), "#EXTM3U"):
        assert uri_behind(playlist, other) is None
    assert uri_behind(b"", "a") is None
    assert uri_behind(b"x\na\n", "a") is None
    assert uri_behind(b"x\na\n#E\n\xff\n", "a") == "\ufffd"


async def publish(objects: HeldObjects) -> None:
    await objects.put(f"v/m1/1/720p/{PLAYLIST}", TEXT.encode())
    for name, body in zip(NAMES, BODIES, strict=True):
        await objects.put(f"v/m1/1/720p/{name}", body)


async def read(origin: Origin, name: str) -> None:
    """What comes behind it is read when this returns."""
    assert (await ask(origin, f"720p/{name}")).status == 200
    while origin.stats().fetches:
        await asyncio.sleep(0.001)


def test_next_segment_is_there_before_it_is_asked_for(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, PLAYLIST)
        assert objects.reads == 1
        for n, name in enumerate(NAMES):
            await read(origin, name)
            assert objects.reads == 1 + min(n + 2, len(NAMES))
        stats = origin.stats()
        assert (stats.prefetches, stats.prefetch_uses) == (4, 4)
        assert (stats.hits, stats.misses) == (4, 2)
        for name in NAMES:  # by now they are as any other
            await read(origin, name)
        assert (origin.stats().hits, origin.stats().prefetch_uses) == (9, 4)

    run(tmp_path, body, far=True)


def test_who_asks_for_what_is_being_read_in_advance_waits_for_that(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, PLAYLIST)
        assert (await ask(origin, f"720p/{NAMES[3]}")).status == 200
        objects.go.clear()
        await settle()
        assert (objects.reads, origin.stats().prefetches) == (3, 1)
        asking = asyncio.create_task(ask(origin, f"720p/{NAMES[4]}"))
        await settle()
        objects.go.set()
        assert (await asking).body == BODIES[4]
        assert (await ask(origin, f"720p/{NAMES[4]}")).body == BODIES[4]
        stats = origin.stats()
        assert (stats.prefetch_uses, stats.hits, objects.reads) == (1, 1, 3)

    run(tmp_path, body, far=True)


def test_nothing_is_read_in_advance_without_the_playlist(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, NAMES[0])
        assert (objects.reads, origin.stats().prefetches) == (1, 0)

    run(tmp_path, body, far=True)


def test_nothing_is_read_in_advance_from_a_disk(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, PLAYLIST)
        await read(origin, NAMES[0])
        assert (objects.reads, origin.stats().prefetches) == (2, 0)

    run(tmp_path, body)


@pytest.mark.parametrize("bound", ["MAX_AHEAD", "MAX_READS"])
def test_reads_in_advance_give_way_to_others(
    tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, bound, {"MAX_AHEAD": 0, "MAX_READS": 1}[bound])

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, PLAYLIST)
        await read(origin, NAMES[0])
        assert (objects.reads, origin.stats().prefetches) == (2, 0)

    run(tmp_path, body, far=True)


def test_what_was_read_in_advance_long_ago_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "IMMUTABLE_LIFE", fill.Life(0, 0))

    async def body(origin: Origin, objects: HeldObjects) -> None:
        await publish(objects)
        await read(origin, PLAYLIST)
        await read(origin, NAMES[3])
        assert objects.reads == 3
        await objects.delete(f"v/m1/1/720p/{NAMES[4]}")
        assert (await ask(origin, f"720p/{NAMES[4]}")).status == 404

    run(tmp_path, body, far=True)
