"""The catalog on a DynamoDB that throttles, loses answers and does half of what it is asked."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from deployments.aws_local.servers import AwsServer
from media.asset import Failure, Status
from stores.catalog import dynamodb_client
from stores.catalog.base import Catalog, Delivery
from stores.errors import NotFound, Throttled, TimedOut, Unavailable
from tests.stores.catalog.backends import CatalogBackend
from tests.stores.catalog.faulty import (
    CONFLICT,
    HALF,
    LOST,
    REFUSED,
    THROTTLED,
    Error,
    Fault,
    Faulty,
    faulty,
)
from tests.stores.catalog.titles import asset, commit, plan

WRITE = "TransactWriteItems"
VERSION = plan().version

Body = Callable[[Catalog], Coroutine[None, None, None]]


@pytest.fixture
def proxy(dynamodb: AwsServer) -> Iterator[Faulty]:
    with faulty(dynamodb.endpoint) as proxy:
        yield proxy


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up soon."""
    monkeypatch.setattr(dynamodb_client, "ATTEMPTS", 2)
    monkeypatch.setattr(dynamodb_client, "LONGEST_PAUSE_S", 0.001)


def run(proxy: Faulty, place: Path, body: Body) -> None:
    CatalogBackend("dynamodb", place, proxy.endpoint).run(body)


async def process(catalog: Catalog) -> None:
    await catalog.create(asset("m"))
    await catalog.put_plan("m", plan())
    for step in (Status.QUEUED, Status.PROCESSING):
        await catalog.transition("m", step)


async def whole_life(catalog: Catalog) -> None:
    """Fails unless every step has its effect once."""
    await process(catalog)
    for number in range(5):
        assert await catalog.commit("m", VERSION, commit(f"video-{number:05d}")) is True
        await catalog.update("m", {"progress": number / 5})
    assert await catalog.commit("m", VERSION, commit("video-00000", size=2)) is False
    assert len(await catalog.commits("m", VERSION)) == 5
    await catalog.transition("m", Status.FAILED, {"error": Failure("x", "y", True)})
    await catalog.forget_plan("m")
    assert (await catalog.list_by_user("ann", limit=5, cursor=None)).items[0].version is None
    await catalog.remove("m")
    events = await catalog.events("m")
    assert [event.number for event in events] == list(range(1, 10))


def every(number: int, fault: Fault) -> Callable[[str], Fault]:
    count = 0

    def rule(_: str) -> Fault:
        nonlocal count
        count += 1
        return fault if count % number == 0 else None

    return rule


@pytest.mark.parametrize(
    "fault", [THROTTLED, REFUSED, LOST, Error("InternalServerError", 500)], ids=str
)
def test_life_of_a_title_on_a_service_that_fails_now_and_then(
    proxy: Faulty, tmp_path: Path, fault: Fault
) -> None:
    async def body(catalog: Catalog) -> None:
        proxy.rule = every(9, fault)
        await whole_life(catalog)

    run(proxy, tmp_path, body)


def test_life_of_a_title_among_transactions_of_others(proxy: Faulty, tmp_path: Path) -> None:
    dice = random.Random(1)

    def rule(operation: str) -> Fault:
        return CONFLICT if operation == WRITE and dice.random() < 0.4 else None

    async def body(catalog: Catalog) -> None:
        proxy.rule = rule
        await whole_life(catalog)

    run(proxy, tmp_path, body)


ALWAYS = [
    (THROTTLED, Throttled, "ProvisionedThroughputExceeded"),
    (CONFLICT, Throttled, "others were writing the same items"),
    (Error("InternalServerError", 500), Unavailable, "InternalServerError"),
    (REFUSED, Unavailable, "DynamoDB cannot be reached"),
]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("fault", "error", "words"), ALWAYS)
def test_service_that_does_not_recover(
    proxy: Faulty, tmp_path: Path, fault: Fault, error: type[Exception], words: str
) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        proxy.rule = lambda operation: fault if operation == WRITE else None
        with pytest.raises(error, match=words):
            await catalog.transition("m", Status.QUEUED)
        proxy.rule = lambda _: None
        assert await catalog.get("m") == asset("m", events=1)

    run(proxy, tmp_path, body)


@pytest.mark.usefixtures("short")
@pytest.mark.usefixtures("dynamodb")
def test_service_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_client, "SILENCE_S", 0.1)

    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # it never accepts
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            catalog = CatalogBackend("dynamodb", tmp_path, endpoint).catalog()
            with pytest.raises(TimedOut, match="did not answer in time"):
                await catalog.get("m")
            await catalog.close()

    asyncio.run(body())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def claimed(catalog: Catalog) -> Delivery:
    (delivery,) = await catalog.claim_deliveries(now_ms() + 10, lease_ms=1000, limit=1)
    return delivery


async def lose_create(catalog: Catalog) -> None:
    await catalog.create(asset("m2"))
    assert len(await catalog.events("m2")) == 1


async def lose_transition(catalog: Catalog) -> None:
    assert (await catalog.transition("m", Status.READY)).status is Status.READY
    assert (await catalog.get("m")).events == 4


async def lose_update(catalog: Catalog) -> None:
    written = await catalog.update("m", {"title": "new"})
    assert await catalog.get("m") == written


async def lose_told_update(catalog: Catalog) -> None:
    written = await catalog.update("m", {"progress": 0.5})
    assert await catalog.get("m") == written
    assert [event.number for event in await catalog.events("m")] == [1, 2, 3, 4]


async def lose_plan(catalog: Catalog) -> None:
    await catalog.create(asset("m2"))
    assert await catalog.put_plan("m2", plan(7)) == plan(7)
    assert (await catalog.get("m2")).version == plan(7).version


async def lose_commit(catalog: Catalog) -> None:
    assert await catalog.commit("m", VERSION, commit("video-00000")) is True
    assert await catalog.commit("m", VERSION, commit("video-00000")) is False


async def lose_key(catalog: Catalog) -> None:
    assert await catalog.claim_key("ann", "1", "m") == "m"
    assert await catalog.claim_key("ann", "1", "m2") == "m"


async def lose_claim(catalog: Catalog) -> None:
    assert (await claimed(catalog)).media_id == "m"


async def lose_settlement(catalog: Catalog) -> None:
    delivery = await claimed(catalog)
    await catalog.settle_delivery(delivery, delivered=3, attempts=0, due_at_ms=0)
    assert await catalog.claim_deliveries(now_ms() + 9000, lease_ms=1, limit=1) == ()


LOSABLE = [
    (lose_create, 1),
    (lose_transition, 1),
    (lose_update, 1),
    (lose_told_update, 1),
    (lose_plan, 2),
    (lose_commit, 1),
    (lose_key, 1),
    (lose_claim, 1),
    (lose_settlement, 2),
]


@pytest.mark.parametrize(("step", "number"), LOSABLE)
def test_lost_answer_is_no_riddle(proxy: Faulty, tmp_path: Path, step: Body, number: int) -> None:
    async def body(catalog: Catalog) -> None:
        await process(catalog)
        proxy.asked.clear()
        proxy.fail(WRITE, *[None] * (number - 1), LOST, LOST)
        await step(catalog)
        assert proxy.asked[WRITE] > number + 1

    run(proxy, tmp_path, body)


def test_batches_that_are_done_by_halves(proxy: Faulty, tmp_path: Path) -> None:
    async def body(catalog: Catalog) -> None:
        for number in range(12):
            await catalog.create(asset(f"m{number:02d}", created_at_ms=number))
        proxy.rule = lambda operation: HALF if operation.startswith("Batch") else None
        proxy.asked.clear()
        found = (await catalog.list_by_user("ann", limit=20, cursor=None)).items
        assert [title.id for title in found] == [f"m{number:02d}" for number in range(11, -1, -1)]
        assert proxy.asked["BatchGetItem"] == 4  # 6, 3, 2, 1
        assert len(await catalog.list_by_status([Status.UPLOADING])) == 12

    run(proxy, tmp_path, body)


@pytest.mark.usefixtures("short")
def test_removal_that_is_interrupted_is_gone_on_with(proxy: Faulty, tmp_path: Path) -> None:
    async def body(catalog: Catalog) -> None:
        await process(catalog)
        for number in range(60):
            await catalog.commit("m", VERSION, commit(f"video-{number:05d}"))
        proxy.rule = lambda operation: HALF if operation == "BatchWriteItem" else None
        proxy.fail("BatchWriteItem", HALF, *[REFUSED] * 10)
        with pytest.raises(Unavailable):
            await catalog.remove("m")
        proxy.rule = lambda _: None
        assert (await catalog.get("m")).status is Status.DELETING
        assert 0 < len(await catalog.commits("m", VERSION)) < 60
        assert [title.id for title in await catalog.list_by_status([Status.DELETING])] == ["m"]
        await catalog.remove("m")
        assert await catalog.commits("m", VERSION) == ()
        assert await catalog.get_plan("m") is None
        with pytest.raises(NotFound):
            await catalog.get("m")

    run(proxy, tmp_path, body)


@pytest.mark.usefixtures("short")
def test_forgetting_that_is_interrupted_is_gone_on_with(proxy: Faulty, tmp_path: Path) -> None:
    async def body(catalog: Catalog) -> None:
        await process(catalog)
        for number in range(120):
            await catalog.commit("m", VERSION, commit(f"video-{number:05d}"))
        await catalog.transition("m", Status.FAILED)
        proxy.fail(WRITE, None, *[REFUSED] * 10)
        with pytest.raises(Unavailable):
            await catalog.forget_plan("m")
        proxy.rule = lambda _: None
        assert await catalog.get_plan("m") == plan()
        assert len(await catalog.commits("m", VERSION)) == 120 - 99
        await catalog.forget_plan("m")
        assert await catalog.commits("m", VERSION) == ()
        assert await catalog.get_plan("m") is None

    run(proxy, tmp_path, body)


def test_forgetting_spares_what_was_committed_anew(proxy: Faulty, tmp_path: Path) -> None:
    """Two who retry a title at the same time: one has gone on when the other begins to delete."""

    async def body(catalog: Catalog) -> None:
        await process(catalog)
        for number in range(3):
            await catalog.commit("m", VERSION, commit(f"video-{number:05d}"))
        await catalog.transition("m", Status.FAILED)
        other = CatalogBackend("dynamodb", tmp_path, proxy.upstream).catalog()
        loop, gone_on = asyncio.get_running_loop(), False

        async def go_on() -> None:
            for step in (Status.QUEUED, Status.PROCESSING):
                await other.transition("m", step)

        def rule(operation: str) -> Fault:
            nonlocal gone_on
            if operation == WRITE and not gone_on:
                gone_on = True
                asyncio.run_coroutine_threadsafe(go_on(), loop).result(60)
            return None

        proxy.rule = rule
        try:
            with pytest.raises(Exception, match="is processing: its plan is kept"):
                await catalog.forget_plan("m")
            assert len(await catalog.commits("m", VERSION)) == 3
        finally:
            await other.close()

    run(proxy, tmp_path, body)
