"""What every catalog promises of the event log, its outbox, and idempotency keys."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from media.asset import Failure, Status
from media.event import PROGRESS_STEPS, EventKind
from stores.catalog.base import EVENTS_KEPT_S, KEY_KEPT_S, Catalog, Delivery
from stores.errors import Conflict
from tests.stores.catalog.backends import CatalogBackend
from tests.stores.catalog.titles import asset

LEASE_MS = 1000

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Moves the clock of this process."""
    now_ns = time.time_ns

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))

    return move


def now_ms() -> int:
    return time.time_ns() // 1_000_000


STORY: list[tuple[Status | None, dict[str, Any], EventKind | None]] = [
    (Status.QUEUED, {"size_bytes": 5}, EventKind.QUEUED),
    (None, {"title": "new"}, None),
    (Status.PROCESSING, {}, EventKind.PROCESSING),
    (None, {"progress": 0.25, "playable": True}, EventKind.PLAYABLE),
    (None, {"progress": 0.255}, None),
    (None, {"progress": 0.5}, EventKind.PROGRESS),
    (None, {"progress": 0.4}, None),
    (Status.FAILED, {"error": Failure("x", "y", True)}, EventKind.FAILED),
    (Status.QUEUED, {"error": None}, EventKind.QUEUED),
    (Status.PROCESSING, {}, EventKind.PROCESSING),
    (Status.READY, {"progress": 1.0}, EventKind.READY),
    (Status.DELETING, {}, EventKind.DELETED),
]


async def tell(catalog: Catalog, media_id: str) -> None:
    await catalog.create(asset(media_id))
    for status, changes, _ in STORY:
        if status is None:
            await catalog.update(media_id, changes)
        else:
            await catalog.transition(media_id, status, changes)


def test_log_tells_a_title_s_life_in_order(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await tell(catalog, "m")
        events = await catalog.events("m")
        kinds = [EventKind.CREATED, *(kind for _, _, kind in STORY if kind is not None)]
        assert [event.kind for event in events] == kinds
        assert [event.number for event in events] == list(range(1, len(kinds) + 1))
        assert {(event.media_id, event.user_id) for event in events} == {("m", "ann")}
        times = [event.at_ms for event in events]
        assert times == sorted(times)
        (failed,) = (event for event in events if event.kind is EventKind.FAILED)
        assert (failed.status, failed.error) == (Status.FAILED, Failure("x", "y", True))
        assert (failed.progress, failed.playable) == (0.5, True)
        assert (await catalog.get("m")).events == len(events)
        assert await catalog.events("m2") == ()

    backend.run(body)


def test_listener_continues_where_it_was(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await tell(catalog, "m")
        events = await catalog.events("m")
        for after in range(len(events) + 1):
            assert await catalog.events("m", after=after) == events[after:]
            assert await catalog.events("m", after=after, limit=2) == events[after : after + 2]
        for after in (10**9, 10**10, 2**63, 10**30):
            assert await catalog.events("m", after=after) == ()
        assert await catalog.events("m", after=-1) == events

    backend.run(body)


def test_progress_is_told_a_hundred_times_at_most(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        for number in range(301):
            await catalog.update("m", {"progress": number / 300})
        events = await catalog.events("m", limit=1000)
        assert len(events) == 1 + PROGRESS_STEPS
        assert events[-1].progress == 1

    backend.run(body)


def test_refused_write_is_not_told(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        with pytest.raises(Conflict):
            await catalog.create(asset("m"))
        with pytest.raises(Conflict):
            await catalog.transition("m", Status.READY)
        with pytest.raises(ValueError, match="cannot be changed"):
            await catalog.update("m", {"events": 7})
        assert len(await catalog.events("m")) == 1

    backend.run(body)


@pytest.mark.parametrize("step", [None, Status.QUEUED, Status.DELETING])
def test_removed_title_leaves_its_events(backend: CatalogBackend, step: Status | None) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        if step is not None:
            await catalog.transition("m", step)
        for _ in range(2):
            await catalog.remove("m")
            kinds = [event.kind for event in await catalog.events("m")]
            before = [EventKind.QUEUED] if step is Status.QUEUED else []
            assert kinds == [EventKind.CREATED, *before, EventKind.DELETED]

    backend.run(body)


def test_events_expire(backend: CatalogBackend, later: Later) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        later(EVENTS_KEPT_S - 60)
        await catalog.transition("m", Status.QUEUED)
        assert [event.number for event in await catalog.events("m")] == [1, 2]
        for _ in range(2):
            later(EVENTS_KEPT_S + 60)
            assert [event.number for event in await catalog.events("m", limit=1)] == [2]
            await catalog.sweep()
        assert (await catalog.get("m")).events == 2

    backend.run(body)


async def claim(catalog: Catalog, at_ms: int, limit: int = 10) -> list[str]:
    claimed = await catalog.claim_deliveries(at_ms, lease_ms=LEASE_MS, limit=limit)
    assert {delivery.claimed_until_ms for delivery in claimed} <= {at_ms + LEASE_MS}
    return [delivery.media_id for delivery in claimed]


async def claim_one(catalog: Catalog, at_ms: int) -> Delivery:
    (delivery,) = await catalog.claim_deliveries(at_ms, lease_ms=LEASE_MS, limit=10)
    return delivery


def test_title_with_news_is_claimed_by_one_until_the_lease_ends(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        assert await claim(catalog, now_ms()) == []
        await catalog.create(asset("m"))
        t = now_ms()
        assert await claim_one(catalog, t) == Delivery("m", 0, 0, t + LEASE_MS)
        assert await claim(catalog, t) == []
        assert await claim(catalog, t + LEASE_MS - 1) == []
        assert await claim_one(catalog, t + LEASE_MS) == Delivery("m", 0, 0, t + 2 * LEASE_MS)

    backend.run(body)


def test_delivered_title_is_due_again_with_its_next_event(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        first = await claim_one(catalog, now_ms())
        await catalog.settle_delivery(first, delivered=1, attempts=0, due_at_ms=0)
        assert await claim(catalog, now_ms() + 10 * LEASE_MS) == []
        await catalog.update("m", {"title": "this is no event"})
        assert await claim(catalog, now_ms() + 10 * LEASE_MS) == []
        await catalog.transition("m", Status.QUEUED)
        second = await claim_one(catalog, now_ms() + LEASE_MS)
        assert (second.delivered, second.attempts) == (1, 0)

    backend.run(body)


def test_event_that_comes_during_a_delivery_is_due_after_it(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        t = now_ms()
        first = await claim_one(catalog, t)
        await catalog.transition("m", Status.QUEUED)
        assert await claim(catalog, t + LEASE_MS - 1) == []
        await catalog.settle_delivery(first, delivered=1, attempts=0, due_at_ms=t)
        assert (await claim_one(catalog, t)).delivered == 1

    backend.run(body)


def test_delivery_that_failed_is_due_later(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        t = now_ms()
        first = await claim_one(catalog, t)
        await catalog.settle_delivery(first, delivered=0, attempts=3, due_at_ms=t + 9000)
        await catalog.transition("m", Status.QUEUED)
        assert await claim(catalog, t + 8999) == []
        again = await claim_one(catalog, t + 9000)
        assert (again.delivered, again.attempts) == (0, 3)

    backend.run(body)


def test_claim_that_has_gone_to_another_settles_nothing(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        t = now_ms()
        slow = await claim_one(catalog, t)
        other = await claim_one(catalog, t + LEASE_MS)
        await catalog.settle_delivery(slow, delivered=1, attempts=0, due_at_ms=t)
        assert await claim(catalog, t + LEASE_MS) == []
        await catalog.settle_delivery(other, delivered=0, attempts=1, due_at_ms=t)
        assert (await claim_one(catalog, t + LEASE_MS)).attempts == 1
        await catalog.settle_delivery(
            replace(other, media_id="m2"), delivered=1, attempts=0, due_at_ms=t
        )

    backend.run(body)


def test_longest_due_is_claimed_first(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        t = now_ms()
        for number in range(6):
            await catalog.create(asset(f"m{number}"))
        for claimed in await catalog.claim_deliveries(t + 10**6, lease_ms=LEASE_MS, limit=10):
            number = int(claimed.media_id[1:])
            due_at_ms = t + (number * 5 % 6) * 100  # 0, 5, 4, 3, 2, 1
            await catalog.settle_delivery(claimed, delivered=0, attempts=0, due_at_ms=due_at_ms)
        assert await claim(catalog, t + 300, limit=3) == ["m0", "m5", "m4"]
        assert await claim(catalog, t + 400, limit=10) == ["m3", "m2"]

    backend.run(body)


def test_removed_title_is_still_delivered(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        await catalog.remove("m")
        delivery = await claim_one(catalog, now_ms() + 10)
        assert len(await catalog.events("m", after=delivery.delivered)) == 2

    backend.run(body)


def test_without_webhooks_nothing_piles_up(backend: CatalogBackend) -> None:
    async def without(catalog: Catalog) -> None:
        await catalog.create(asset("m"))
        assert await claim(catalog, now_ms() + 10) == []

    async def afterwards(catalog: Catalog) -> None:
        assert await claim(catalog, now_ms() + 10) == []
        await catalog.transition("m", Status.QUEUED)
        assert (await claim_one(catalog, now_ms() + 10)).delivered == 1

    replace(backend, webhooks=False).run(without)
    backend.run(afterwards)


def test_outbox_expires_with_its_newest_event(backend: CatalogBackend, later: Later) -> None:
    async def body(catalog: Catalog) -> None:
        for media_id in ("old", "new"):
            await catalog.create(asset(media_id))
        later(60)
        await catalog.transition("new", Status.QUEUED)
        later(EVENTS_KEPT_S + 30)
        claimed = await claim_one(catalog, now_ms())
        assert claimed.media_id == "new"
        await catalog.settle_delivery(claimed, delivered=0, attempts=1, due_at_ms=now_ms())
        for _ in range(2):
            later(EVENTS_KEPT_S + 90)
            assert await claim(catalog, now_ms()) == []
            await catalog.sweep()

    backend.run(body)


KEYS = ["1", "x" * 5000, "a#b/c d", "\u2028é\x00"]


@pytest.mark.parametrize("key", KEYS)
def test_key_stands_for_its_first_claimant(backend: CatalogBackend, key: str) -> None:
    async def body(catalog: Catalog) -> None:
        assert await catalog.claim_key("ann", key, "m1") == "m1"
        assert await catalog.claim_key("ann", key, "m2") == "m1"
        assert await catalog.claim_key("ann", key, "m1") == "m1"
        assert await catalog.claim_key("ann", key + "2", "m2") == "m2"
        assert await catalog.claim_key("eve", key, "m3") == "m3"

    backend.run(body)


def test_key_is_released_by_who_has_it(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.release_key("ann", "1", "m1")
        await catalog.claim_key("ann", "1", "m1")
        await catalog.release_key("ann", "1", "m2")
        await catalog.release_key("eve", "1", "m1")
        assert await catalog.claim_key("ann", "1", "m3") == "m1"
        await catalog.release_key("ann", "1", "m1")
        assert await catalog.claim_key("ann", "1", "m3") == "m3"

    backend.run(body)


def test_key_expires(backend: CatalogBackend, later: Later) -> None:
    async def body(catalog: Catalog) -> None:
        await catalog.claim_key("ann", "1", "m1")
        later(KEY_KEPT_S - 60)
        await catalog.sweep()
        assert await catalog.claim_key("ann", "1", "m2") == "m1"
        later(KEY_KEPT_S + 60)
        assert await catalog.claim_key("ann", "1", "m2") == "m2"
        later(2 * KEY_KEPT_S)
        await catalog.sweep()
        assert await catalog.claim_key("ann", "1", "m3") == "m2"

    backend.run(body)
