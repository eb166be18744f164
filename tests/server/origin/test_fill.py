"""The parts of a fill that need no HTTP: what is kept, for how long, and how much waits."""

import asyncio
import gzip
from pathlib import Path

import pytest

from native.origin import Request
from server.origin import fill
from server.origin.app import Origin
from stores.objects.base import ObjectInfo
from tests.server.origin.held import HeldObjects, ask, run, settle

INFO = ObjectInfo("v/m1/1/a", 3, 'a"b/c')


def test_one_read_serves_all_who_wait(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        objects.go.clear()
        waiting = [asyncio.create_task(ask(origin, "a.m4s")) for _ in range(100)]
        await settle()
        assert objects.reads == 1
        objects.go.set()
        answers = await asyncio.gather(*waiting)
        assert [answer.body for answer in answers] == [b"abc"] * 100
        assert (await ask(origin, "a.m4s")).body == b"abc"
        assert objects.reads == 1
        stats = origin.stats()
        assert (stats.hits, stats.misses, stats.entries) == (1, 100, 1)

    run(tmp_path, body)


def test_a_cancelled_request_leaves_the_read_to_the_others(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        objects.go.clear()
        first = asyncio.create_task(ask(origin, "a.m4s"))
        second = asyncio.create_task(ask(origin, "a.m4s"))
        await settle()
        first.cancel()
        await settle()
        objects.go.set()
        assert (await second).body == b"abc"
        assert first.cancelled()
        assert objects.reads == 1

    run(tmp_path, body)


@pytest.mark.parametrize("bound", ["MAX_WAITERS", "MAX_FETCHES"])
def test_waiting_is_bounded(tmp_path: Path, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, bound, 2)

    async def body(origin: Origin, objects: HeldObjects) -> None:
        objects.go.clear()
        waiting = [asyncio.create_task(ask(origin, f"{n}.m4s")) for n in range(2)]
        await settle()
        busy = await ask(origin, "2.m4s")
        assert (busy.status, dict(busy.headers)["retry-after"]) == (503, "1")
        assert dict(busy.headers)["cache-control"] == "no-store"
        objects.go.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [404, 404]
        assert (await ask(origin, "2.m4s")).status == 404

    run(tmp_path, body)


def test_reads_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "MAX_READS", 2)

    async def body(origin: Origin, objects: HeldObjects) -> None:
        objects.go.clear()
        waiting = [asyncio.create_task(ask(origin, f"{n}.m4s")) for n in range(5)]
        await settle()
        assert objects.reads == 2
        objects.go.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {404}
        assert objects.reads == 5

    run(tmp_path, body)


def test_an_outage_is_not_remembered(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        objects.away = True
        for method in ("GET", "HEAD"):
            answer = await ask(origin, "a.m4s", method)
            assert (answer.status, dict(answer.headers)["cache-control"]) == (503, "no-store")
            assert (answer.body == b"") == (method == "HEAD")
        objects.away = False
        assert (await ask(origin, "a.m4s")).status == 200

    run(tmp_path, body)


def test_purge_forgets_what_was_there_and_what_was_missing(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        assert (await ask(origin, "a.m4s")).status == 200
        assert (await ask(origin, "b.m4s")).status == 404
        assert (await ask(origin, "b.m4s", "HEAD")).body == b""
        await objects.delete("v/m1/1/a.m4s")
        await objects.put("v/m1/1/b.m4s", b"b")
        assert origin.purge("v/m2/") == 0
        assert (await ask(origin, "a.m4s")).status == 200
        assert origin.purge("v/m1/") == 2
        assert (await ask(origin, "a.m4s")).status == 404
        assert (await ask(origin, "b.m4s")).status == 200

    run(tmp_path, body)


def test_what_was_read_before_a_purge_is_not_kept(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        objects.go.clear()
        waiting = asyncio.create_task(ask(origin, "a.m4s"))
        await settle()
        origin.purge("v/m1/")
        objects.go.set()
        assert (await waiting).body == b"abc"
        assert origin.stats().entries == 0

    run(tmp_path, body)


def test_what_is_withheld_is_missing_although_it_is_stored(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        for name in ("a.m4s", "b.m4s"):
            await objects.put(f"v/m1/1/{name}", b"abc")
        assert (await ask(origin, "a.m4s")).status == 200
        origin.withhold("v/m1/")
        assert [(await ask(origin, name)).status for name in ("a.m4s", "b.m4s")] == [404, 404]
        origin.release("v/m1/")
        await objects.put("v/m1/1/c.m4s", b"abc")
        assert (await ask(origin, "c.m4s")).status == 200

    run(tmp_path, body)


def test_title_beside_a_withheld_one_is_served(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"abc")
        origin.withhold("v/m10/")
        assert (await ask(origin, "a.m4s")).status == 200

    run(tmp_path, body)


def test_an_object_above_its_share_of_the_cache_is_passed_through(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        large = bytes((1 << 17) + 1)
        await objects.put("v/m1/1/a.m4s", large)
        for _ in range(2):
            assert (await ask(origin, "a.m4s")).body == large
        stats = origin.stats()
        assert (objects.reads, stats.entries, stats.rejections) == (2, 0, 2)

    run(tmp_path, body)


def test_names_of_no_kind_are_not_asked_for(tmp_path: Path) -> None:
    async def body(origin: Origin, objects: HeldObjects) -> None:
        for name in ("a.txt", "a", "a.M4S", "a.m4s.", "m3u8"):
            assert (await ask(origin, name)).status == 404
        assert objects.reads == 0

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("key", "body", "cache_control", "life"),
    [
        ("a.m4s", b"#EXT-X-START:TIME-OFFSET=0", fill.IMMUTABLE, (600, 86400)),
        ("a.mp4", b"abc", fill.IMMUTABLE, (600, 86400)),
        ("a.m3u8", b"#EXTM3U\n", fill.FINAL, (60, 86400)),
        ("a.m3u8", b"#EXTM3U\n#EXT-X-START:TIME-OFFSET=0\n", fill.GROWING, (1, 10)),
    ],
)
def test_build_says_how_long_an_object_is_good_for(
    key: str, body: bytes, cache_control: str, life: tuple[float, float]
) -> None:
    found, its_life = fill.build(key, body, INFO)
    request = Request("GET", "", accept_encoding="gzip")
    response = found.respond(request)
    assert (its_life.fresh_s, its_life.stale_s) == life
    assert dict(response.headers)["cache-control"] == cache_control
    if key == "a.m3u8":
        assert gzip.decompress(response.body) == body
    else:
        assert response.body == body


def test_build_makes_an_etag_of_any_opaque_text() -> None:
    found, _ = fill.build("a.m4s", b"abc", INFO)
    assert dict(found.respond(Request("GET", "")).headers)["etag"] == '"a%22b%2Fc"'


@pytest.mark.parametrize("name", ["00012-0123456789abcdef.m4s", "init-0123456789abcdef.mp4"])
def test_build_takes_the_etag_from_the_name(name: str) -> None:
    found, _ = fill.build(f"v/m1/1/720p/{name}", b"abc", INFO)
    assert dict(found.respond(Request("GET", "")).headers)["etag"] == '"0123456789abcdef"'
