import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.asset import Status
from media.event import Event, EventKind
from server import receiver, webhooks
from server.webhooks import coalesced, retry_delay_s
from stores.catalog.base import Catalog, Delivery
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Unavailable
from tests.server.delivering import DEADLINE_S, delivering, opened, run_until, sending, until
from tests.server.lives import (
    FAILURE,
    LIFE,
    RETRIED_LIFE,
    begin,
    go_on,
    live,
)
from tests.server.receiving import (
    CLOSE,
    ENDLESS,
    HANG,
    REDIRECT,
    RETRY_AFTER_S,
    Act,
    Message,
    receiving,
)
from tests.stores.catalog.backends import NAMES, CatalogBackend

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "POLL_S", 0.02)
    monkeypatch.setattr(webhooks, "FIRST_RETRY_S", 0.02)


def test_every_event_arrives_signed_and_in_order(tmp_path: Path) -> None:
    receiver, ids = run_until(tmp_path, None, 3, LIFE)
    for number, media_id in enumerate(ids):
        mine = [message for message in receiver.messages if message.media_id == media_id]
        assert [message.number for message in mine] == [*range(1, len(LIFE) + 1)]
        assert [message.body["type"] for message in mine] == [f"media.{kind}" for kind in LIFE]
        assert [message.id for message in mine] == [f"{media_id}-{m.number}" for m in mine]
        assert {message.body["data"]["user_id"] for message in mine} == {f"user {number}"}
        assert all(message.headers["content-type"] == "application/json" for message in mine)


def test_body_tells_the_title_as_it_was(tmp_path: Path) -> None:
    receiver, (media_id,) = run_until(tmp_path, None, 1, RETRIED_LIFE)
    failed = receiver.messages[3].body
    assert failed == {
        "type": "media.failed",
        "timestamp": failed["timestamp"],
        "data": {
            "media_id": media_id,
            "user_id": "user 0",
            "number": 4,
            "kind": "failed",
            "at": failed["timestamp"],
            "status": "failed",
            "playable": False,
            "progress": 0.0,
            "error": {
                "code": FAILURE.code,
                "message": FAILURE.message,
                "retryable": FAILURE.retryable,
            },
        },
    }


@pytest.mark.parametrize("act", [500, 404, 429, HANG, CLOSE, REDIRECT])
def test_event_that_is_not_taken_comes_again_before_those_after_it(
    act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "REQUEST_S", 0.2)
    refused: Counter[str] = Counter()

    def decide(message: Message, before: int) -> Act:
        refused[message.id] += 1
        return act if message.number in (1, 4) and refused[message.id] <= 2 else 204

    got, (media_id,) = run_until(tmp_path, decide, 1, LIFE)
    numbers = [message.number for message in got.messages]
    assert numbers == [1, 1, 1, 2, 3, 4, 4, 4, 5, 6, 7]
    assert {message.id for message in got.messages} == {f"{media_id}-{n}" for n in range(1, 8)}


def test_endless_answer_is_an_answer(tmp_path: Path) -> None:
    got, (media_id,) = run_until(tmp_path, lambda message, before: ENDLESS, 1, LIFE)
    assert got.numbers(media_id) == [*range(1, len(LIFE) + 1)]


def test_title_that_is_not_taken_holds_up_no_other(tmp_path: Path) -> None:
    first: set[str] = set()

    def decide(message: Message, before: int) -> Act:
        first.add(message.media_id) if not first else None
        return HANG if message.media_id in first else 204

    async def scenario() -> None:
        with receiving(decide) as receiver:
            async with delivering(tmp_path, receiver.url) as service:
                await live(service.catalog)
                await until(lambda: receiver.messages)
                others = [await live(service.catalog) for _ in range(3)]
                await until(lambda: all(len(LIFE) in receiver.numbers(id_) for id_ in others))
                assert service.oldest_s() > 0

    asyncio.run(scenario())


def test_receiver_that_is_gone_hears_no_more_of_that_title(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone: set[str] = set()

        def decide(message: Message, before: int) -> Act:
            return 410 if message.media_id in gone else 204

        with receiving(decide) as receiver:
            async with delivering(tmp_path, receiver.url) as service:
                media_id = await begin(service.catalog)
                gone.add(media_id)
                await go_on(service.catalog, media_id, *LIFE[1:])
                await until(lambda: service.count("dropped"))
                await go_on(service.catalog, media_id, EventKind.DELETED)
                other = await live(service.catalog)  # claimed later than the deletion was due
                await until(lambda: len(LIFE) in receiver.numbers(other))
        assert [m.number for m in receiver.messages if m.media_id == media_id][1:] in ([], [2])

    asyncio.run(scenario())


def test_old_event_is_tried_once_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "GIVE_UP_S", -1.0)
    got, _ = run_until(tmp_path, lambda m, _: 500 if m.number < 7 else 204, 1, LIFE)
    assert [message.number for message in got.messages] == [*range(1, 8)]


def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        with receiving(lambda message, before: 503) as receiver:
            async with delivering(tmp_path, receiver.url) as service:
                await begin(service.catalog)
                await until(lambda: service.count("failed"))
        async with opened(tmp_path) as catalog:
            now_ms = time.time_ns() // 1_000_000
            soon_ms = now_ms + (RETRY_AFTER_S - 100) * 1000
            assert await catalog.claim_deliveries(soon_ms, lease_ms=1, limit=1) == ()
            (due,) = await catalog.claim_deliveries(now_ms + HOUR_MS, lease_ms=1, limit=1)
            assert (due.delivered, due.attempts) == (0, 1)

    asyncio.run(scenario())


def test_progress_that_waits_is_told_by_its_newest(tmp_path: Path) -> None:
    async def scenario() -> None:
        with receiving() as receiver:
            async with opened(tmp_path) as catalog:
                progress = [EventKind.PROGRESS] * 30
                media_id = await live(catalog, kinds=(*LIFE[:3], *progress, *LIFE[4:]))
            async with delivering(tmp_path, receiver.url):
                await until(lambda: 36 in receiver.numbers(media_id))
            assert receiver.numbers(media_id) == [1, 2, 3, 33, 34, 35, 36]

    asyncio.run(scenario())


def test_deliverers_share_titles_without_telling_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        with receiving() as receiver:
            async with (
                delivering(tmp_path, receiver.url) as service,
                delivering(tmp_path, receiver.url),
                delivering(tmp_path, receiver.url),
            ):
                ids = [await live(service.catalog) for _ in range(10)]
                await until(lambda: all(len(LIFE) in receiver.numbers(id_) for id_ in ids))
            for media_id in ids:
                assert receiver.numbers(media_id) == [*range(1, len(LIFE) + 1)]

    asyncio.run(scenario())


def test_stopped_deliverer_hands_over_at_once(tmp_path: Path) -> None:
    """Long before its lease is over, or this would take longer than it may."""
    assert webhooks.LEASE_S > DEADLINE_S

    async def scenario() -> None:
        with receiving(lambda m, _: HANG if m.number == 3 and not stopped else 204) as receiver:
            async with delivering(tmp_path, receiver.url) as service:
                media_id = await live(service.catalog)
                await until(lambda: len(receiver.messages) == 3)
            stopped.append(True)
            async with delivering(tmp_path, receiver.url):
                await until(lambda: len(LIFE) in receiver.numbers(media_id))
            assert [m.number for m in receiver.messages] == [1, 2, 3, 3, 4, 5, 6, 7]

    stopped: list[bool] = []
    asyncio.run(scenario())


@pytest.mark.parametrize("name", NAMES)
def test_every_catalog_s_log_is_delivered_by_several_at_once(
    name: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = None
    if name == "dynamodb":
        server = request.getfixturevalue("dynamodb_server")
        endpoint = server.endpoint
        for variable, value in server.environment().items():
            monkeypatch.setenv(variable, value)
    refused: set[str] = set()

    def decide(message: Message, before: int) -> Act:
        if before % 4 or message.id in refused:
            return 204
        refused.add(message.id)
        return 500

    async def scenario(catalog: Catalog) -> None:
        with receiving(decide) as receiver:
            async with (
                sending(catalog, receiver.url) as running,
                sending(catalog, receiver.url) as also_running,
            ):
                ids = [await live(catalog) for _ in range(5)]
                await until(lambda: all(len(LIFE) in receiver.numbers(id_) for id_ in ids))
                assert not running.done() and not also_running.done()
        for media_id in ids:
            assert receiver.numbers(media_id) == [*range(1, len(LIFE) + 1)]

    CatalogBackend(name, tmp_path / "catalog", endpoint).run(scenario)


class AwayAtFirst(SqliteCatalog):
    failures = 0

    async def claim_deliveries(
        self, now_ms: int, *, lease_ms: int, limit: int
    ) -> tuple[Delivery, ...]:
        if self.failures < 3:
            self.failures += 1
            raise Unavailable("away")
        return await super().claim_deliveries(now_ms, lease_ms=lease_ms, limit=limit)


def test_catalog_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        catalog = AwayAtFirst(tmp_path / "catalog", webhooks=True)
        try:
            with receiving() as receiver:
                async with sending(catalog, receiver.url):
                    media_id = await live(catalog)
                    await until(lambda: len(LIFE) in receiver.numbers(media_id))
        finally:
            await catalog.close()

    asyncio.run(scenario())


def test_log_of_every_length_is_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "PAGE", 4)
    receiver, (media_id,) = run_until(tmp_path, None, 1, RETRIED_LIFE)
    assert receiver.numbers(media_id) == [*range(1, len(RETRIED_LIFE) + 1)]


def events(kinds: list[EventKind]) -> list[Event]:
    return [
        Event("m", "u", number, kind, 0, Status.PROCESSING, playable=False, progress=0.0)
        for number, kind in enumerate(kinds, 1)
    ]


@given(st.lists(st.sampled_from([EventKind.PROGRESS, EventKind.PLAYABLE, EventKind.FAILED])))
def test_coalesced_drops_progress_followed_by_progress_alone(kinds: list[EventKind]) -> None:
    log = events(kinds)
    kept = coalesced(log)
    assert kept == [event for event in log if event in kept]
    for event in log:
        follower = log[event.number] if event.number < len(log) else None
        superseded = follower is not None and (event.kind, follower.kind) == (
            EventKind.PROGRESS,
            EventKind.PROGRESS,
        )
        assert (event in kept) is not superseded


def test_retries_grow_apart_and_end_up_hours_apart() -> None:
    for attempts in range(1, 40):
        middle_s = min(0.02 * 2 ** (attempts - 1), 6 * 3600)
        assert 0.8 * middle_s <= retry_delay_s(attempts) <= 1.2 * middle_s
    assert len({retry_delay_s(5) for _ in range(20)}) > 1
