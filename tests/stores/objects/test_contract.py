"""What every object store promises to one caller at a time."""

import asyncio
import os
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.errors import Conflict, NotFound
from stores.objects.base import ObjectInfo, ObjectStore
from tests.stores.objects.backends import ObjectBackend, keys
from tests.stores.objects.test_keys import NO_KEYS

MIB = 1 << 20


def test_put_get_head_replace_delete(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        for data in (b"first", b"", b"second, longer", bytes(3 * MIB)):
            info = await store.put("v/m/1/index.m3u8", data)
            assert (info.key, info.size) == ("v/m/1/index.m3u8", len(data))
            assert await store.get(info.key) == (data, info)
            assert await store.head(info.key) == info
            assert [info] == [found async for found in store.list("")]
        await store.delete("v/m/1/index.m3u8")
        assert await keys(store) == []

    backend.run(body)


def test_missing_object(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        await store.put("v/m/object", b"x")
        for key in ("v/m/other", "v", "v/m", "w/m/object", "v/m/object/below"):
            for look in (store.get, store.head):
                with pytest.raises(NotFound, match=key):
                    await look(key)
            with pytest.raises(NotFound, match=key):
                (await store.source(key)).open()
            await store.delete(key)
        assert await keys(store) == ["v/m/object"]

    backend.run(body)


@pytest.mark.parametrize("key", NO_KEYS)
def test_invalid_key_is_refused_by_every_operation(backend: ObjectBackend, key: str) -> None:
    async def write(store: ObjectStore) -> None:
        async with store.writer(key) as writer:
            await writer.write(b"x")

    async def body(store: ObjectStore) -> None:
        refused = pytest.raises(ValueError, match="is not an object key")
        for operation in (
            store.put(key, b"x"),
            store.put_if(key, b"x", etag=None),
            store.get(key),
            store.head(key),
            store.delete(key),
            write(store),
        ):
            with refused:
                await operation
        with refused:
            await store.source(key)
        assert await keys(store) == []

    backend.run(body)


def test_source_is_a_seekable_file_that_another_process_can_open(backend: ObjectBackend) -> None:
    data = bytes(range(256)) * 5000

    async def body(store: ObjectStore) -> None:
        await store.put("source/m", data)
        source = pickle.loads(pickle.dumps(await store.source("source/m")))
        with source.open() as file:
            assert file.seekable()
            assert file.read() == data
            file.seek(256 * 4999)
            assert file.read(300) == data[:256]

    backend.run(body)


def test_open_source_never_mixes_an_object_with_its_successor(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        await store.put("source/m", b"old" * MIB)
        with (await store.source("source/m")).open() as file:
            assert file.read(3) == b"old"
            await store.put("source/m", b"new" * MIB)
            try:
                rest = file.read()
            except Conflict as exc:
                assert getattr(file, "failure", None) is exc
            else:
                assert rest == (b"old" * MIB)[3:]

    backend.run(body)


def test_source_of_an_object_that_was_replaced(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        info = await store.put("source/m", b"old")
        source = await store.source("source/m", etag=info.etag)
        with source.open() as file:
            assert file.read() == b"old"
        await store.put("source/m", b"new")
        with pytest.raises(Conflict, match="object source/m was replaced"):
            source.open()

    backend.run(body)


def test_source_of_an_empty_object(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        info = await store.put("source/m", b"")
        with (await store.source("source/m", etag=info.etag)).open() as file:
            assert (file.read(), file.seek(0, os.SEEK_END), file.read(1)) == (b"", 0, b"")

    backend.run(body)


def test_flushed_writer_needs_nothing_but_the_name(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        for data in (b"", b"small", bytes(9 * MIB)):
            async with store.writer("source/m") as writer:
                await writer.write(data)
                await writer.flush()
                assert await keys(store) == []
            assert (await store.get("source/m"))[0] == data
            await store.delete("source/m")
        with pytest.raises(ZeroDivisionError):
            async with store.writer("source/m") as writer:
                await writer.write(b"small")
                await writer.flush()
                raise ZeroDivisionError
        assert await keys(store) == []

    backend.run(body)


@pytest.mark.parametrize("chunk_bytes", [1, 1000, MIB - 1, MIB, 2 * MIB])
def test_writer_stores_chunks_of_any_size(backend: ObjectBackend, chunk_bytes: int) -> None:
    chunks = [bytes([number % 256]) * chunk_bytes for number in range(5)]

    async def body(store: ObjectStore) -> None:
        async with store.writer("source/m") as writer:
            for chunk in chunks:
                await writer.write(chunk)
                await writer.write(b"")
                assert await keys(store) == []
        data, info = await store.get("source/m")
        assert data == b"".join(chunks)
        assert info == await store.head("source/m")

    backend.run(body)


def test_writer_replaces_only_when_it_ends(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        before = await store.put("source/m", b"old")
        async with store.writer("source/m") as writer:
            await writer.write(b"new" * MIB)
            assert await store.get("source/m") == (b"old", before)
        data, after = await store.get("source/m")
        assert data == b"new" * MIB
        assert after.etag != before.etag

    backend.run(body)


def test_writer_of_nothing_stores_an_empty_object(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        async with store.writer("source/m"):
            pass
        assert (await store.get("source/m"))[0] == b""

    backend.run(body)


@pytest.mark.parametrize("written", [0, 10, 3 * MIB])
def test_writer_left_by_an_exception_leaves_nothing(backend: ObjectBackend, written: int) -> None:
    async def body(store: ObjectStore) -> None:
        with pytest.raises(ZeroDivisionError):
            async with store.writer("source/m") as writer:
                await writer.write(bytes(written))
                raise ZeroDivisionError
        assert await keys(store) == []

    backend.run(body)


@pytest.mark.parametrize("steps", range(8))
def test_writer_cancelled_at_any_point_leaves_nothing(backend: ObjectBackend, steps: int) -> None:
    async def body(store: ObjectStore) -> None:
        async def upload() -> None:
            async with store.writer("source/m") as writer:
                while True:
                    await writer.write(bytes(MIB))

        task = asyncio.create_task(upload())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await keys(store) == []

    backend.run(body)


def test_etags_of_one_key_never_come_back(backend: ObjectBackend) -> None:
    """Equal sizes, written as fast as it goes."""

    async def body(store: ObjectStore) -> None:
        etags = [(await store.put("k", b"%03d" % number)).etag for number in range(200)]
        assert len(set(etags)) == len(etags)

    backend.run(body)


def test_put_if_creates_only_what_does_not_exist(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        first = await store.put_if("k/index.m3u8", b"one", etag=None)
        with pytest.raises(Conflict, match="k/index"):
            await store.put_if("k/index.m3u8", b"two", etag=None)
        assert await store.get("k/index.m3u8") == (b"one", first)
        await store.delete("k/index.m3u8")
        await store.put_if("k/index.m3u8", b"two", etag=None)
        assert (await store.get("k/index.m3u8"))[0] == b"two"

    backend.run(body)


def test_put_if_replaces_only_what_has_the_etag(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        first = await store.put("k", b"one")
        second = await store.put_if("k", b"two", etag=first.etag)
        for stale in (first.etag, None, "", "no etag"):
            with pytest.raises(Conflict):
                await store.put_if("k", b"three", etag=stale)
        assert await store.get("k") == (b"two", second)
        await store.delete("k")
        with pytest.raises(Conflict):
            await store.put_if("k", b"four", etag=second.etag)
        assert await keys(store) == []

    backend.run(body)


LISTED = ["a", "b/c", "b/cd", "b/d/e", "bc", "v/m/1/index.m3u8", "v/m/12/index.m3u8", "v/n/x"]


@pytest.mark.parametrize(
    "prefix",
    ["", "a", "a/", "b", "b/", "b/c", "b/d", "b/d/", "v/m/1", "v/m/1/", "v/m", "x", "x/y", "b/x/y"],
)
def test_list_any_prefix(backend: ObjectBackend, prefix: str) -> None:
    async def body(store: ObjectStore) -> None:
        stored = [await store.put(key, key.encode()) for key in LISTED]
        expected = [info for info in stored if info.key.startswith(prefix)]
        found = [info async for info in store.list(prefix)]
        assert sorted(found, key=lambda info: info.key) == expected

    backend.run(body)


@pytest.mark.parametrize("prefix", ["b/", "b/d/", "v/m/1/", "v/m/", "v/", "x/", "b/x/y/", "a/"])
def test_delete_prefix(backend: ObjectBackend, prefix: str) -> None:
    kept = [key for key in LISTED if not key.startswith(prefix)]

    async def body(store: ObjectStore) -> None:
        for key in LISTED:
            await store.put(key, b"x")
        assert await store.delete_prefix(prefix) == len(LISTED) - len(kept)
        assert await keys(store) == kept
        assert await store.delete_prefix(prefix) == 0

    backend.run(body)


@pytest.mark.parametrize("prefix", ["", "b", "b/d", "/", "../", "b//"])
def test_delete_prefix_that_is_none_is_refused(backend: ObjectBackend, prefix: str) -> None:
    async def body(store: ObjectStore) -> None:
        await store.put("b/d/e", b"x")
        with pytest.raises(ValueError, match="prefix"):
            await store.delete_prefix(prefix)
        assert await keys(store) == ["b/d/e"]

    backend.run(body)


def test_list_of_many_left_early_and_whole(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        names = [f"n/{number:04d}" for number in range(1100)]
        await asyncio.gather(*(store.put(name, b"") for name in names))
        async for _ in store.list("n/"):
            break
        assert await keys(store) == names
        assert await store.delete_prefix("n/") == len(names)

    backend.run(body)


MODEL_KEYS = ("f", "a/b", "a/c", "ab/c", "a/d/e")
operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "put_if", "put_stale", "writer", "delete", "delete_prefix"]),
        st.sampled_from(MODEL_KEYS),
        st.binary(max_size=20),
    ),
    max_size=12,
)


@given(steps=operations)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_store_behaves_like_a_dictionary(
    backend: ObjectBackend, steps: list[tuple[str, str, bytes]]
) -> None:
    async def body(store: ObjectStore) -> None:
        model: dict[str, bytes] = {}
        infos: dict[str, ObjectInfo] = {}
        for step, key, data in steps:
            etag = infos[key].etag if key in infos else None
            if step == "put":
                infos[key] = await store.put(key, data)
            elif step == "put_if":
                infos[key] = await store.put_if(key, data, etag=etag)
            elif step == "put_stale":
                with pytest.raises(Conflict):
                    await store.put_if(key, data, etag="other" if etag is None else None)
                continue
            elif step == "writer":
                async with store.writer(key) as writer:
                    await writer.write(data)
                infos[key] = await store.head(key)
            else:
                doomed = {key} if step == "delete" else {k for k in model if k.startswith("a/")}
                await (store.delete(key) if step == "delete" else store.delete_prefix("a/"))
                model = {k: value for k, value in model.items() if k not in doomed}
                infos = {k: info for k, info in infos.items() if k not in doomed}
                continue
            model[key] = data
        assert await keys(store) == sorted(model)
        for key, data in model.items():
            assert await store.get(key) == (data, infos[key])
        for key in model:
            await store.delete(key)

    backend.run(body)


def test_check_of_a_store_that_works(backend: ObjectBackend) -> None:
    async def body(store: ObjectStore) -> None:
        await store.check()
        assert await keys(store) == []

    backend.run(body)
