"""What is served while the store does not answer."""

import asyncio
from pathlib import Path

import pytest

from native.origin import Response
from server.origin import fill
from server.origin.app import Origin
from tests.server.origin.held import HeldObjects, ask, run, settle

PLAYLIST = b"#EXTM3U\n"
GROWING = PLAYLIST + b"#EXT-X-START:TIME-OFFSET=0\n"


@pytest.fixture(autouse=True)
def _everything_expires_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FINAL_LIFE", "GROWING_LIFE", "IMMUTABLE_LIFE"):
        monkeypatch.setattr(fill, name, fill.Life(0, 86400))


def caching(response: Response) -> str:
    return dict(response.headers)["cache-control"]


@pytest.mark.parametrize(
    ("name", "body"), [("a.m3u8", PLAYLIST), ("b.m3u8", GROWING), ("c.m4s", b"c"), ("d.mp4", b"d")]
)
def test_expired_object_is_served_while_the_store_is_away(
    tmp_path: Path, name: str, body: bytes
) -> None:
    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put(f"v/m1/1/{name}", body)
        fresh = await ask(origin, name)
        objects.away = True
        for method in ("GET", "HEAD"):
            stale = await ask(origin, name, method)
            assert (stale.status, caching(stale)) == (200, "public, max-age=1")
            assert stale.body == (b"" if method == "HEAD" else body)
            assert dict(stale.headers)["etag"] == dict(fresh.headers)["etag"]
        assert origin.stats().stale == 2
        objects.away = False
        await ask(origin, name)  # lets the store be asked, and does not wait for its answer
        while origin.stats().fetches:
            await asyncio.sleep(0.001)
        assert caching(await ask(origin, name)) == caching(fresh) != "public, max-age=1"

    run(tmp_path, test)


def test_stale_answers_keep_to_conditions_and_ranges(tmp_path: Path) -> None:
    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m4s", b"0123456789")
        etag = dict((await ask(origin, "a.m4s")).headers)["etag"]
        objects.away = True
        table = [
            ({"range": "bytes=2-3"}, 206, b"23", "public, max-age=1"),
            ({"range": "bytes=20-"}, 416, None, "no-store"),
            ({"if_none_match": etag}, 304, b"", "public, max-age=1"),
        ]
        for headers, status, body, cache_control in table:
            answer = await ask(origin, "a.m4s", **headers)
            assert (answer.status, caching(answer)) == (status, cache_control)
            assert body is None or answer.body == body

    run(tmp_path, test)


def test_nothing_stale_is_served_of_what_was_deleted_purged_or_withheld(tmp_path: Path) -> None:
    async def test(origin: Origin, objects: HeldObjects) -> None:
        for name in ("a.m3u8", "b.m3u8"):
            await objects.put(f"v/m1/1/{name}", PLAYLIST)
            await ask(origin, name)
        await objects.delete("v/m1/1/a.m3u8")
        assert (await ask(origin, "a.m3u8")).status == 404
        objects.away = True
        origin.purge("v/m1/")
        assert [(await ask(origin, name)).status for name in ("a.m3u8", "b.m3u8")] == [503, 503]
        objects.away = False
        assert (await ask(origin, "b.m3u8")).status == 200
        objects.away = True
        origin.withhold("v/m1/")
        assert (await ask(origin, "b.m3u8")).status == 404

    run(tmp_path, test)


def test_purge_reaches_those_who_wait_with_something_stale(tmp_path: Path) -> None:
    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m3u8", PLAYLIST)
        await ask(origin, "a.m3u8")
        objects.away = True
        objects.go.clear()
        waiting = asyncio.create_task(ask(origin, "a.m3u8"))
        await settle()
        origin.withhold("v/m1/")
        objects.go.set()
        assert (await waiting).status == 503

    run(tmp_path, test)


def test_silent_store_holds_up_nobody_who_has_something_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "PATIENCE_WITH_STALE_S", 0.01)
    monkeypatch.setattr(fill, "PATIENCE_S", 0.01)

    async def test(origin: Origin, objects: HeldObjects) -> None:
        for name in ("a.m3u8", "b.m3u8"):
            await objects.put(f"v/m1/1/{name}", PLAYLIST)
        await ask(origin, "a.m3u8")
        objects.go.clear()
        assert caching(await ask(origin, "a.m3u8")) == "public, max-age=1"
        assert (await ask(origin, "b.m3u8")).status == 503
        assert (objects.reads, origin.stats().unavailable) == (3, 1)
        objects.go.set()
        for name in ("PATIENCE_WITH_STALE_S", "PATIENCE_S"):
            monkeypatch.setattr(fill, name, 30)
        assert [(await ask(origin, name)).status for name in ("a.m3u8", "b.m3u8")] == [200, 200]
        assert caching(await ask(origin, "a.m3u8")) == fill.FINAL

    run(tmp_path, test)


def test_known_outage_holds_up_nobody_who_has_something_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "PATIENCE_WITH_STALE_S", 1000)

    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m3u8", PLAYLIST)
        await ask(origin, "a.m3u8")
        objects.away = True
        assert (await ask(origin, "a.m3u8")).status == 200
        objects.go.clear()  # from now on nothing comes back
        stale = [await ask(origin, "a.m3u8") for _ in range(3)]
        assert {caching(answer) for answer in stale} == {"public, max-age=1"}
        assert objects.reads == 3
        objects.away = False
        objects.go.set()

    run(tmp_path, test)


def test_crowd_above_the_bound_gets_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "MAX_WAITERS", 1)

    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m3u8", PLAYLIST)
        await ask(origin, "a.m3u8")
        objects.go.clear()
        waiting = asyncio.create_task(ask(origin, "a.m3u8"))
        await settle()
        assert caching(await ask(origin, "a.m3u8")) == "public, max-age=1"
        assert (await ask(origin, "b.m3u8")).status == 503
        assert (origin.stats().stale, origin.stats().busy) == (1, 1)
        objects.go.set()
        assert caching(await waiting) == fill.FINAL

    run(tmp_path, test)


def test_what_is_long_expired_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "FINAL_LIFE", fill.Life(0, 0))

    async def test(origin: Origin, objects: HeldObjects) -> None:
        await objects.put("v/m1/1/a.m3u8", PLAYLIST)
        await ask(origin, "a.m3u8")
        objects.away = True
        assert (await ask(origin, "a.m3u8")).status == 503

    run(tmp_path, test)
