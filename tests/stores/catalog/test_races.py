"""What every catalog promises to many callers at once, and about one that dies."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection

import pytest

from media.asset import Status
from media.event import EventKind
from stores.catalog.base import Catalog
from stores.errors import Conflict, NotFound
from tests.stores.catalog.backends import CatalogBackend
from tests.stores.catalog.titles import asset, commit, plan
from tests.stores.racing import RUNNERS, race, wait_for_start
from tests.stores.victims import kill_moments, pause, victim

ROUNDS = 15
OPENINGS = {"sqlite": ROUNDS, "dynamodb": 3}

Attempt = Callable[[Catalog, str, int], Coroutine[None, None, bool]]


async def create(catalog: Catalog, media_id: str, number: int) -> bool:
    await catalog.create(asset(f"new-{media_id}", f"user{number}"))
    return True


async def transition(catalog: Catalog, media_id: str, number: int) -> bool:
    to = Status.FAILED if number % 2 else Status.READY
    await catalog.transition(media_id, to, {"title": str(number)})
    return True


async def put_commit(catalog: Catalog, media_id: str, number: int) -> bool:
    return await catalog.commit(media_id, "1", commit("video-00000", size=number))


async def put_plan(catalog: Catalog, media_id: str, number: int) -> bool:
    mine = plan(100 + number)
    return await catalog.put_plan(media_id, mine) == mine


async def claim_key(catalog: Catalog, media_id: str, number: int) -> bool:
    return await catalog.claim_key("ann", media_id, str(number)) == str(number)


async def winner(catalog: Catalog, attempt: Attempt, media_id: str) -> int:
    """Who has won, from what the catalog holds now."""
    if attempt is create:
        return int((await catalog.get(f"new-{media_id}")).user_id.removeprefix("user"))
    if attempt is transition:
        return int((await catalog.get(media_id)).title)
    if attempt is claim_key:
        return int(await catalog.claim_key("ann", media_id, "late"))
    if attempt is put_commit:
        (only,) = await catalog.commits(media_id, "1")
        return only.renditions[0].segments[0].size
    stored = await catalog.get_plan(media_id)
    assert stored is not None
    assert stored.video is not None
    assert (await catalog.get(media_id)).version == stored.version
    return stored.video.frame_count - 100


def contestant(backend: CatalogBackend, attempt: Attempt, number: int) -> list[bool]:
    async def body() -> list[bool]:
        won = []
        async with backend.open() as catalog:
            for number_of_round in range(ROUNDS):
                wait_for_start()
                try:
                    won.append(await attempt(catalog, f"m{number_of_round}", number))
                except Conflict:
                    won.append(False)
        return won

    return asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
@pytest.mark.parametrize("attempt", [create, transition, put_commit, put_plan, claim_key])
def test_one_of_racing_writers_wins(
    backend: CatalogBackend, attempt: Attempt, runners: str
) -> None:
    async def prepare() -> None:
        async with backend.open() as catalog:
            for number in range(ROUNDS):
                await catalog.create(asset(f"m{number}"))
                for step in (Status.QUEUED, Status.PROCESSING):
                    await catalog.transition(f"m{number}", step)

    asyncio.run(prepare())
    results = race(runners, partial(contestant, backend, attempt))

    async def judge() -> None:
        async with backend.open() as catalog:
            for number, wins in enumerate(zip(*results, strict=True)):
                assert wins.count(True) == 1
                assert await winner(catalog, attempt, f"m{number}") == wins.index(True)

    asyncio.run(judge())


def progress_contestant(backend: CatalogBackend, number: int) -> list[int]:
    async def body() -> list[int]:
        async with backend.open() as catalog:
            wait_for_start()
            updates = [catalog.update("m", {"progress": number / 10 + n / 100}) for n in range(10)]
            return [(await update).updated_at_ms for update in updates]

    return asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_racing_updates_all_count(backend: CatalogBackend, runners: str) -> None:
    async def prepare() -> None:
        async with backend.open() as catalog:
            await catalog.create(asset("m"))

    asyncio.run(prepare())
    results = race(runners, partial(progress_contestant, backend))

    async def judge() -> None:
        async with backend.open() as catalog:
            title = await catalog.get("m")
        times = list(itertools.chain(*results))
        assert len(set(times)) == len(times)
        assert title.updated_at_ms == max(times)
        assert title.progress == (len(results) - 1) / 10 + 9 / 100

    asyncio.run(judge())


def committing_contestant(backend: CatalogBackend, number: int) -> int:
    """The first one stops the work of the others."""

    async def body() -> int:
        async with backend.open() as catalog:
            wait_for_start()
            if number == 0:
                while len(await catalog.commits("m", "1")) < 20:
                    pass
                await catalog.transition("m", Status.FAILED)
                return -len(await catalog.commits("m", "1"))
            count = 0
            while await catalog.commit("m", "1", commit(f"video-{100 * number + count:05d}")):
                count += 1
            return count

    return asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_no_commit_lands_after_the_title_has_failed(backend: CatalogBackend, runners: str) -> None:
    async def prepare() -> None:
        async with backend.open() as catalog:
            await catalog.create(asset("m"))
            for step in (Status.QUEUED, Status.PROCESSING):
                await catalog.transition("m", step)

    asyncio.run(prepare())
    seen, *counts = race(runners, partial(committing_contestant, backend))
    assert -seen == sum(counts)

    async def judge() -> None:
        async with backend.open() as catalog:
            assert len(await catalog.commits("m", "1")) == sum(counts)

    asyncio.run(judge())


def delivering_contestant(backend: CatalogBackend, number: int) -> list[str]:
    async def body() -> list[str]:
        claimed: list[str] = []
        async with backend.open() as catalog:
            wait_for_start()
            late_ms = time.time_ns() // 1_000_000 + 1000
            while some := await catalog.claim_deliveries(late_ms, lease_ms=60_000, limit=3):
                claimed += [delivery.media_id for delivery in some]
        return claimed

    return asyncio.run(body())


@pytest.mark.parametrize("runners", RUNNERS)
def test_title_is_delivered_by_one(backend: CatalogBackend, runners: str) -> None:
    media_ids = {f"m{number}" for number in range(20)}

    async def prepare() -> None:
        async with backend.open() as catalog:
            for media_id in media_ids:
                await catalog.create(asset(media_id))

    asyncio.run(prepare())
    claimed = list(itertools.chain(*race(runners, partial(delivering_contestant, backend))))
    assert sorted(claimed) == sorted(media_ids)


def opening_contestant(backend: CatalogBackend, number: int) -> None:
    async def body(place: CatalogBackend) -> None:
        wait_for_start()
        async with place.open() as catalog:
            await catalog.check()
            await catalog.create(asset(f"m{number}"))

    for number_of_round in range(OPENINGS[backend.name]):
        asyncio.run(body(backend.another(number_of_round)))


@pytest.mark.parametrize("runners", RUNNERS)
def test_new_catalog_is_opened_by_many_at_once(backend: CatalogBackend, runners: str) -> None:
    count = len(race(runners, partial(opening_contestant, backend)))

    async def judge() -> None:
        for number_of_round in range(OPENINGS[backend.name]):
            async with backend.another(number_of_round).open() as catalog:
                titles = await catalog.list_by_status([Status.UPLOADING])
                assert {title.id for title in titles} == {f"m{n}" for n in range(count)}

    asyncio.run(judge())


def living_victim(backend: CatalogBackend, pipe: Connection) -> None:
    """One title after another, from its creation to its removal."""

    async def live(catalog: Catalog, media_id: str) -> None:
        await catalog.create(asset(media_id))
        await catalog.put_plan(media_id, plan())
        await catalog.transition(media_id, Status.QUEUED)
        await catalog.transition(media_id, Status.PROCESSING)
        for number in range(4):
            await catalog.commit(media_id, plan().version, commit(f"video-{number:05d}"))
        await catalog.remove(media_id)

    async def body() -> None:
        async with backend.open() as catalog:
            number = await lives(catalog)
            await live(catalog, f"m{number}")
            pipe.send("ready")
            while True:
                number += 1
                await live(catalog, f"m{number}")

    asyncio.run(body())


async def lives(catalog: Catalog) -> int:
    """How many titles there have been: each has left its events."""
    for number in itertools.count():
        if not await catalog.events(f"m{number}", limit=1):
            return number
    raise AssertionError


async def assert_nothing_half_done(catalog: Catalog, media_id: str) -> None:
    stored = await catalog.get_plan(media_id)
    commits = await catalog.commits(media_id, plan().version)
    events = await catalog.events(media_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    try:
        title = await catalog.get(media_id)
    except NotFound:
        assert stored is None
        assert commits == ()
        assert events[-1].kind is EventKind.DELETED
        return
    assert title.events == len(events)
    assert title.status is events[-1].status
    if title.status is Status.DELETING:  # by several requests where one cannot do it all
        return
    assert title.version == (stored.version if stored else None)
    assert commits == tuple(commit(f"video-{number:05d}") for number in range(len(commits)))
    assert title.status is Status.PROCESSING or commits == ()


def test_kill_leaves_nothing_half_done_and_nothing_locked(backend: CatalogBackend) -> None:
    async def body() -> None:
        for moment in kill_moments(4):
            with victim(partial(living_victim, backend)):
                await asyncio.to_thread(pause, moment)
            async with backend.open() as catalog:
                for number in range(await lives(catalog)):
                    await assert_nothing_half_done(catalog, f"m{number}")
                await catalog.check()

    asyncio.run(body())
