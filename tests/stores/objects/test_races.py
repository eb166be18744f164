"""What every object store promises to many callers at once, about one that dies, and in memory."""

import asyncio
import contextlib
import itertools
import resource
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from stores.errors import Conflict
from stores.objects.base import ObjectStore
from tests.stores.objects.backends import ObjectBackend, keys
from tests.stores.racing import RUNNERS, race, wait_for_start
from tests.stores.victims import kill_moments, pause, victim

MIB = 1 << 20


def contestants(backend: ObjectBackend) -> int | None:
    return 3 if backend.is_s3 else None  # SeaweedFS gives way for a second to each that contends


def rounds(backend: ObjectBackend) -> int:
    return 4 if backend.is_s3 else 20


def create_contestant(backend: ObjectBackend, number: int) -> list[bool]:
    async def body() -> list[bool]:
        won = []
        async with backend.open() as store:
            for number_of_round in range(rounds(backend)):
                wait_for_start()
                try:
                    await store.put_if(f"r/{number_of_round}", b"%d" % number, etag=None)
                except Conflict:
                    won.append(False)
                else:
                    won.append(True)
        return won

    return asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_one_of_racing_creators_wins(backend: ObjectBackend, runners: str) -> None:
    results = race(runners, partial(create_contestant, backend), contestants(backend))

    async def body(store: ObjectStore) -> None:
        for number_of_round, wins in enumerate(zip(*results, strict=True)):
            assert wins.count(True) == 1
            winner = b"%d" % wins.index(True)
            assert (await store.get(f"r/{number_of_round}"))[0] == winner

    backend.run(body)


def counting_contestant(backend: ObjectBackend, _: int) -> None:
    async def add_one(store: ObjectStore) -> bool:
        data, info = await store.get("count")
        with contextlib.suppress(Conflict):
            await store.put_if("count", b"%06d" % (int(data) + 1), etag=info.etag)
            return True
        return False

    async def body() -> None:
        async with backend.open() as store:
            wait_for_start()
            for _ in range(rounds(backend)):
                while not await add_one(store):
                    pass

    asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_no_conditional_write_is_lost(backend: ObjectBackend, runners: str) -> None:
    async def start(store: ObjectStore) -> None:
        await store.put("count", b"000000")

    backend.run(start)
    count = len(race(runners, partial(counting_contestant, backend), contestants(backend)))

    async def end(store: ObjectStore) -> None:
        assert int((await store.get("count"))[0]) == count * rounds(backend)

    backend.run(end)


def neighbour_contestant(backend: ObjectBackend, number: int) -> None:
    """Its neighbours empty the prefixes that it writes below all the time."""

    async def body() -> None:
        async with backend.open() as store:
            wait_for_start()
            for turn in range(rounds(backend)):
                key = f"v/m/{turn % 2}/{number}"
                info = await store.put(key, b"mine")
                assert await store.get(key) == (b"mine", info)
                await store.delete(key)
                assert await store.delete_prefix(f"w/{number}/") == 0

    asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_deletions_do_not_disturb_the_neighbours(backend: ObjectBackend, runners: str) -> None:
    race(runners, partial(neighbour_contestant, backend), contestants(backend))

    async def body(store: ObjectStore) -> None:
        assert await keys(store) == []

    backend.run(body)


def replacing_victim(backend: ObjectBackend, pipe: Connection) -> None:
    """Objects of one repeated byte, put and streamed in turn."""

    async def body() -> None:
        async with backend.open() as store:
            await store.put("k", b"0" * MIB)
            pipe.send("ready")
            for number in itertools.count():
                data = b"%d" % (number % 10) * MIB
                await store.put("k", data)
                async with store.writer("k") as writer:
                    for _ in range(8):
                        await writer.write(data[: MIB // 8])

    asyncio.run(body())


def test_kill_leaves_whole_objects_and_readers_see_no_other(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        for moment in kill_moments(3):
            with victim(partial(replacing_victim, backend)):
                await asyncio.to_thread(pause, moment)
                for _ in range(20):
                    data, info = await store.get("k")
                    assert info.size == len(data) == MIB
                    assert data == data[:1] * MIB
            await store.sweep()
            data, _ = await store.get("k")
            assert data == data[:1] * MIB
            assert await keys(store) == ["k"]

    backend.run(body)


def uploading_victim(backend: ObjectBackend, pipe: Connection) -> None:
    async def body() -> None:
        async with backend.open() as store, store.writer("source/m") as writer:
            await writer.write(bytes(3 * MIB))
            pipe.send("ready")
            await asyncio.sleep(600)

    asyncio.run(body())


def test_kill_during_an_upload_leaves_nothing(backend: ObjectBackend) -> None:
    with victim(partial(uploading_victim, backend)):
        pass

    async def body(store: ObjectStore) -> None:
        await store.sweep()
        assert await keys(store) == []

    backend.run(body)


def memory_of_upload(backend: ObjectBackend, warm: int, size: int, pipe: Connection) -> None:
    chunk = bytes(64 << 10)

    async def upload(store: ObjectStore, key: str, size: int) -> None:
        async with store.writer(key) as writer:
            for _ in range(size // len(chunk)):
                await writer.write(chunk)

    async def body() -> None:
        async with backend.open() as store:
            await upload(store, "warm", warm)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await upload(store, "large", size)
            pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)

    asyncio.run(body())


def test_memory_does_not_grow_with_an_upload(backend: ObjectBackend) -> None:
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    # As many parts as may be under way to S3 have been once when the measuring begins.
    warm, most = (96 * MIB, 32 * MIB) if backend.is_s3 else (8 * MIB, 4 * MIB)
    size = 160 * MIB
    process = spawn.Process(target=memory_of_upload, args=(backend, warm, size, theirs))
    process.start()
    with ours, theirs:
        assert ours.poll(120)
        assert ours.recv() < most
    process.join()
    process.close()

    async def body(store: ObjectStore) -> None:
        assert (await store.head("large")).size == size

    backend.run(body)
