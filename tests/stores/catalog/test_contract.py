"""What every catalog promises to one caller at a time."""

import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.asset import (
    TRANSITIONS,
    Asset,
    AssetType,
    Failure,
    Priority,
    RenditionInfo,
    SourceInfo,
    Status,
)
from media.plan import Plan
from stores.catalog.base import Catalog, InvalidCursor
from stores.errors import Conflict, NotFound
from tests.stores.catalog.backends import CatalogBackend
from tests.stores.catalog.titles import asset, commit, plan


def paths_to_every_status() -> dict[Status, list[Status]]:
    paths: dict[Status, list[Status]] = {Status.UPLOADING: []}
    for status in paths.copy():
        extend_paths(paths, status)
    return paths


def extend_paths(paths: dict[Status, list[Status]], status: Status) -> None:
    for to in sorted(TRANSITIONS[status] - paths.keys()):
        paths[to] = [*paths[status], to]
        extend_paths(paths, to)


PATHS = paths_to_every_status()
FULL = replace(
    asset("full"),
    priority=Priority.HIGH,
    filename="a b.mp4",
    size_bytes=5 << 40,
    playable=True,
    progress=1 / 3,
    duration_s=362.1,
    version="0011aabb",
    source=SourceInfo("mov,mp4", 123, 362.1, "h264", "aac", 1920, 1080, 29.97, 2, 48_000),
    renditions=(RenditionInfo("480p", AssetType.VIDEO, "avc1", 854, 480, 29.97, 1, 2),),
    error=Failure("no-streams", "there is nothing to play in it", False),
)


@pytest.mark.parametrize("title", [asset("plain"), FULL])
def test_created_title_is_got_back_whole(backend: CatalogBackend, title: Asset) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(title)
        assert await catalog.get(title.id) == replace(title, events=1)

    backend.run(body)


def test_title_is_created_once(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        with pytest.raises(Conflict, match="media m exists already"):
            await catalog.create(asset("m", "eve"))
        assert await catalog.get("m") == asset("m", events=1)
        assert (await catalog.list_by_user("eve", limit=10, cursor=None)).items == ()

    backend.run(body)


def test_unknown_title(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for operation in (
            catalog.get("m"),
            catalog.transition("m", Status.QUEUED),
            catalog.update("m", {"title": "x"}),
            catalog.put_plan("m", plan()),
            catalog.forget_plan("m"),
        ):
            with pytest.raises(NotFound, match="media m does not exist"):
                await operation
        assert await catalog.get_plan("m") is None
        assert await catalog.commit("m", "1", commit("audio-00000")) is False
        assert await catalog.commits("m", "1") == ()
        await catalog.remove("m")

    backend.run(body)


def test_records_survive_reopening(backend: CatalogBackend) -> None:
    async def write(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        await catalog.put_plan("m", plan())

    async def read(catalog: Catalog) -> None:
        assert (await catalog.get("m")).version == plan().version
        assert await catalog.get_plan("m") == plan()

    backend.run(write)
    backend.run(read)


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("status", PATHS)
def test_transition_follows_the_table(backend: CatalogBackend, status: Status, to: Status) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for step in PATHS[status]:
            await catalog.transition("m", step)
        before = await catalog.get("m")
        assert before.status is status
        if to in TRANSITIONS[status]:
            after = await catalog.transition("m", to, {"progress": 0.5, "title": "new"})
            assert (after.status, after.progress, after.title) == (to, 0.5, "new")
            assert after.updated_at_ms > before.updated_at_ms
            assert await catalog.get("m") == after
        else:
            with pytest.raises(Conflict):
                await catalog.transition("m", to, {"title": "new"})
            assert await catalog.get("m") == before

    backend.run(body)


def test_transition_of_what_was_seen_refuses_what_has_changed(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        seen = await catalog.get("m")
        renewed = await catalog.update("m", {"upload_expires_at_ms": 5})
        with pytest.raises(Conflict, match="media m has changed"):
            await catalog.transition("m", Status.DELETING, seen=seen)
        assert await catalog.get("m") == renewed
        queued = await catalog.transition("m", Status.QUEUED, seen=renewed)
        assert queued.status is Status.QUEUED

    backend.run(body)


CHANGES: list[dict[str, Any]] = [
    {"title": "new", "description": "d"},
    {"source": FULL.source, "renditions": FULL.renditions, "duration_s": 1.5},
    {"error": FULL.error, "version": "00", "size_bytes": 7, "priority": Priority.LOW},
    {"type": AssetType.AUDIO, "filename": "x.flac", "playable": True, "progress": 1.0},
    {},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_update_changes_what_it_names(backend: CatalogBackend, changes: dict[str, Any]) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        after = await catalog.update("m", changes)
        expected = replace(asset("m"), **changes)
        assert after == replace(expected, updated_at_ms=after.updated_at_ms, events=after.events)
        assert await catalog.get("m") == after

    backend.run(body)


@pytest.mark.parametrize(
    "changes",
    [
        *[{name: "x"} for name in ("id", "user_id", "status", "created_at_ms", "updated_at_ms")],
        {"colour": "red"},
        {"title": None},
        {"progress": 0.5, "renditions": [1]},
    ],
)
def test_invalid_change_changes_nothing(backend: CatalogBackend, changes: dict[str, Any]) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        with pytest.raises(ValueError, match=r"cannot be (changed|recorded)"):
            await catalog.update("m", changes)
        with pytest.raises(ValueError, match=r"cannot be (changed|recorded)"):
            await catalog.transition("m", Status.QUEUED, changes)
        assert await catalog.get("m") == asset("m", events=1)
        await catalog.update("m", {"title": "still writable"})

    backend.run(body)


def test_progress_and_playable_never_go_back(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for progress, playable in ((0.25, False), (0.5, True), (0.25, False), (0.4, True)):
            await catalog.update("m", {"progress": progress, "playable": playable})
        title = await catalog.get("m")
        assert (title.progress, title.playable) == (0.5, True)

    backend.run(body)


def test_time_of_update_grows_with_every_write(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        before_ms = time.time_ns() // 1_000_000
        await catalog.create(asset("m"))
        times = [(await catalog.update("m", {"title": str(n)})).updated_at_ms for n in range(20)]
        times.append((await catalog.transition("m", Status.QUEUED)).updated_at_ms)
        assert times == sorted(set(times))
        assert times[0] >= before_ms

    backend.run(body)


def test_title_being_deleted_is_got_but_not_changed(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        await catalog.transition("m", Status.DELETING)
        before = await catalog.get("m")
        assert before.status is Status.DELETING
        with pytest.raises(Conflict, match="being deleted"):
            await catalog.update("m", {"title": "x"})
        with pytest.raises(Conflict, match="being deleted"):
            await catalog.put_plan("m", plan())
        assert await catalog.get("m") == before
        assert await catalog.get_plan("m") is None

    backend.run(body)


def test_first_plan_wins_and_names_the_version(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        assert await catalog.get_plan("m") is None
        assert await catalog.put_plan("m", plan(100)) == plan(100)
        assert await catalog.put_plan("m", plan(200)) == plan(100)
        assert await catalog.get_plan("m") == plan(100)
        assert (await catalog.get("m")).version == plan(100).version

    backend.run(body)


def test_first_commit_of_a_task_wins(backend: CatalogBackend) -> None:
    tasks = ["video-00001", "audio-00000", "video-00000", "video-00010", "video-00002"]

    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for step in PATHS[Status.PROCESSING]:
            await catalog.transition("m", step)
        for task in tasks:
            assert await catalog.commit("m", "1", commit(task)) is True
            assert await catalog.commit("m", "1", commit(task, size=2000)) is False
        assert await catalog.commits("m", "1") == tuple(map(commit, sorted(tasks)))
        assert await catalog.commits("m", "2") == ()
        assert await catalog.commit("m", "2", commit("audio-00000", size=2000)) is True
        assert await catalog.commits("m", "1") == tuple(map(commit, sorted(tasks)))

    backend.run(body)


@pytest.mark.parametrize("status", PATHS)
def test_commit_needs_a_title_in_processing(backend: CatalogBackend, status: Status) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for step in PATHS[status]:
            await catalog.transition("m", step)
        processing = status is Status.PROCESSING
        assert await catalog.commit("m", "1", commit("audio-00000")) is processing
        assert len(await catalog.commits("m", "1")) == int(processing)

    backend.run(body)


RANGES = [
    ("", 0, ["audio-00000", "audio-00009", "audio-00010", "video-00000", "video-00007"]),
    ("audio", 0, ["audio-00000", "audio-00009", "audio-00010"]),
    ("audio", 9, ["audio-00009", "audio-00010"]),
    ("audio", 10, ["audio-00010"]),
    ("audio", 11, []),
    ("video", 1, ["video-00007"]),
    ("vide", 0, []),
]


@pytest.mark.parametrize(("kind", "start", "expected"), RANGES)
def test_commits_of_one_kind_from_a_number_on(
    backend: CatalogBackend, kind: str, start: int, expected: list[str]
) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for step in PATHS[Status.PROCESSING]:
            await catalog.transition("m", step)
        for task in RANGES[0][2]:
            await catalog.commit("m", "1", commit(task))
            await catalog.commit("m", "11", commit(task))
        found = await catalog.commits("m", "1", kind=kind, start=start)
        assert [one.task for one in found] == expected

    backend.run(body)


async def fail(catalog: Catalog) -> Plan:
    await catalog.create(asset("m"))
    stored = await catalog.put_plan("m", plan())
    for step in PATHS[Status.PROCESSING]:
        await catalog.transition("m", step)
    for number in range(150):  # more than DynamoDB deletes at once
        await catalog.commit("m", stored.version, commit(f"video-{number:05d}"))
    changes = {"playable": True, "progress": 0.5, "renditions": FULL.renditions}
    await catalog.update("m", changes)
    await catalog.transition("m", Status.FAILED, {"error": FULL.error})
    return stored


def test_failed_title_is_planned_anew(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        version = (await fail(catalog)).version
        for _ in range(2):
            await catalog.forget_plan("m")
            title = await catalog.get("m")
            assert (title.version, title.playable, title.progress) == (None, False, 0.0)
            assert (title.renditions, title.error) == ((), FULL.error)
            assert await catalog.get_plan("m") is None
            assert await catalog.commits("m", version) == ()
        title = await catalog.transition("m", Status.QUEUED, {"error": None})
        assert title.error is None
        assert await catalog.put_plan("m", plan(200)) == plan(200)
        await catalog.transition("m", Status.PROCESSING)
        assert await catalog.commit("m", version, commit("video-00000")) is True

    backend.run(body)


def test_failed_title_is_tried_again_with_what_it_has(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        stored = await fail(catalog)
        await catalog.transition("m", Status.QUEUED, {"error": None})
        await catalog.transition("m", Status.PROCESSING)
        assert await catalog.get_plan("m") == stored
        assert len(await catalog.commits("m", stored.version)) == 150
        assert await catalog.commit("m", stored.version, commit("video-00000", size=2)) is False
        assert await catalog.commit("m", stored.version, commit("video-00150")) is True

    backend.run(body)


@pytest.mark.parametrize("status", sorted(PATHS.keys() - {Status.FAILED}))
def test_plan_of_a_title_that_has_not_failed_is_kept(
    backend: CatalogBackend, status: Status
) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        await catalog.put_plan("m", plan())
        for step in PATHS[status]:
            await catalog.transition("m", step)
        with pytest.raises(Conflict, match="its plan is kept"):
            await catalog.forget_plan("m")
        assert await catalog.get_plan("m") == plan()

    backend.run(body)


def test_remove_drops_everything_of_one_title(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for media_id in ("m", "m2"):
            await catalog.create(asset(media_id))
            await catalog.put_plan(media_id, plan())
            for step in PATHS[Status.PROCESSING]:
                await catalog.transition(media_id, step)
            await catalog.commit(media_id, "1", commit("audio-00000"))
        await catalog.remove("m")
        with pytest.raises(NotFound):
            await catalog.get("m")
        assert await catalog.get_plan("m") is None
        assert await catalog.commits("m", "1") == ()
        assert await catalog.list_by_status(list(Status)) == (await catalog.get("m2"),)
        assert await catalog.get_plan("m2") == plan()
        assert await catalog.commits("m2", "1") == (commit("audio-00000"),)
        with pytest.raises(Conflict, match="media m has existed before"):
            await catalog.create(asset("m"))
        with pytest.raises(NotFound):
            await catalog.get("m")

    backend.run(body)


def test_list_by_status(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for status in PATHS:
            await catalog.create(asset(status))
            for step in PATHS[status]:
                await catalog.transition(status, step)
        for statuses in ([], [Status.QUEUED], [Status.READY, Status.DELETING], list(Status)):
            found = await catalog.list_by_status(statuses)
            assert {title.id for title in found} == set(map(str, statuses))
            assert all(title.id == title.status for title in found)

    backend.run(body)


async def pages(
    catalog: Catalog, user_id: str, limit: int, between: Callable[[], Coroutine[None, None, None]]
) -> list[Asset]:
    """All titles as a client pages through them, with `between` run after each page."""
    found: list[Asset] = []
    cursor = None
    while True:
        page = await catalog.list_by_user(user_id, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        assert not {title.id for title in page.items} & {title.id for title in found}
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert page.items
        await between()


async def nothing() -> None:
    pass


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_list_by_user_is_newest_first(backend: CatalogBackend, limit: int) -> None:
    titles = [asset(f"m{n}", created_at_ms=n // 2) for n in range(6)]  # two of each time

    async def body(catalog: Catalog) -> None:
        for title in titles:
            await catalog.create(title)
            await catalog.create(asset(f"eve-{title.id}", "eve"))
        found = await pages(catalog, "ann", limit, nothing)
        assert [title.created_at_ms for title in found] == [2, 2, 1, 1, 0, 0]
        expected = [replace(title, events=1) for title in titles]
        assert sorted(found, key=lambda title: title.id) == expected
        assert await pages(catalog, "nobody", limit, nothing) == []

    backend.run(body)


def test_list_by_user_is_without_titles_being_deleted(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for n in range(4):
            await catalog.create(asset(f"m{n}", created_at_ms=n))
        await catalog.transition("m3", Status.DELETING)
        await catalog.transition("m1", Status.DELETING)
        assert [title.id for title in await pages(catalog, "ann", 1, nothing)] == ["m2", "m0"]

    backend.run(body)


def test_cursor_of_one_user_shows_another_user_only_their_own(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for n in range(4):
            await catalog.create(asset(f"ann{n}", "ann", created_at_ms=n))
            await catalog.create(asset(f"eve{n}", "eve", created_at_ms=n))
        cursor = (await catalog.list_by_user("ann", limit=2, cursor=None)).next_cursor
        page = await catalog.list_by_user("eve", limit=10, cursor=cursor)
        assert all(title.user_id == "eve" for title in page.items)

    backend.run(body)


@pytest.mark.parametrize("cursor", ["", "x", "MTp=", "\0", "x" * 5000, "../../etc/passwd"])
def test_malformed_cursor_is_refused(backend: CatalogBackend, cursor: str) -> None:
    async def body(catalog: Catalog) -> None:
        with pytest.raises(InvalidCursor):
            await catalog.list_by_user("ann", limit=10, cursor=cursor)

    backend.run(body)


@pytest.mark.parametrize("limit", [0, -1])
def test_page_without_items_is_refused(backend: CatalogBackend, limit: int) -> None:
    async def body(catalog: Catalog) -> None:
        with pytest.raises(ValueError, match="at least one"):
            await catalog.list_by_user("ann", limit=limit, cursor=None)

    backend.run(body)


times = st.integers(0, 3)
moves = st.lists(
    st.one_of(st.tuples(st.just("create"), times), st.tuples(st.just("delete"), times)), max_size=8
)


@given(start=st.lists(times, max_size=8), moves=moves, limit=st.integers(1, 3))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_hold_still_while_titles_come_and_go(
    backend: CatalogBackend, start: list[int], moves: list[tuple[str, int]], limit: int
) -> None:
    async def body(catalog: Catalog) -> None:
        user_id = str(time.monotonic_ns())
        alive: dict[str, Asset] = {}

        async def create(created_at_ms: int) -> None:
            media_id = f"{time.monotonic_ns() % 7919}-{user_id}-{len(alive)}-{len(coming)}"
            alive[media_id] = asset(media_id, user_id, created_at_ms=created_at_ms)
            await catalog.create(alive[media_id])

        coming = list(moves)
        for created_at_ms in start:
            await create(created_at_ms)
        steady = set(alive)

        async def come_and_go() -> None:
            if not coming:
                return
            move, number = coming.pop()
            if move == "create":
                await create(number)
            elif alive:
                doomed = sorted(alive)[number % len(alive)]
                await catalog.transition(doomed, Status.DELETING)
                del alive[doomed]
                steady.discard(doomed)

        found = [title.id for title in await pages(catalog, user_id, limit, come_and_go)]
        assert steady <= set(found)

    backend.run(body)


def test_check_of_a_catalog_that_works(backend: CatalogBackend) -> None:
    backend.run(lambda catalog: catalog.check())
