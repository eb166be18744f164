"""Every event of every title, POSTed to one URL and signed as Standard Webhooks 1.0.0 has it.

At least once, and in order within a title: an event is sent when the one before it was taken with a
2xx, or was given up. Of `progress` events that wait in a row only the newest is sent. One that is
not taken is tried again, later each time, until it is three days old; each is tried once at
least. A 410 ends what is told of its title.

The catalog hands out titles, each to one process for LEASE_S. A process that dies with one leaves
it to whoever asks after that, and what it had sent but not settled is sent once more, with the same
webhook-id.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import structlog

from media.event import Event, EventKind
from server.api.metrics import Metrics
from server.receiver import NotTaken, Receiver
from stores.catalog.base import Catalog, Delivery
from stores.errors import Unavailable

POLL_S = 1.0
PARALLEL = 16  # titles at a time
PAGE = 100
LEASE_S = 100.0
SENDING_S = 20.0  # of a lease; then a last request, and a minute by which clocks may differ
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 6 * 3600.0
JITTER = 0.2
GIVE_UP_S = 3 * 86_400.0
MAX_WAITING = 10_000
NO_MORE = 2**31 - 1  # higher than the number of any event

_log = structlog.get_logger("server.webhooks")


@dataclass(slots=True)
class _Claim:
    """How far a delivery has come, to be settled."""

    delivered: int
    attempts: int
    due_at_ms: int = 0


class Webhooks:
    def __init__(self, receiver: Receiver, catalog: Catalog, metrics: Metrics) -> None:
        self._receiver = receiver
        self._catalog = catalog
        self._outcomes = metrics.webhook_deliveries
        self._waiting = Waiting()
        metrics.webhook_oldest.set_function(self._waiting.oldest_s)

    async def run(self) -> None:
        """Until it is cancelled."""
        sending: set[asyncio.Task[None]] = set()
        try:
            while True:
                for delivery in await self._claim(PARALLEL - len(sending)):
                    sending.add(asyncio.create_task(self._deliver(delivery)))
                if not sending:
                    await asyncio.sleep(POLL_S)
                    continue
                ended, sending = await asyncio.wait(
                    sending, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED
                )
                _report(ended)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _claim(self, limit: int) -> Sequence[Delivery]:
        if limit == 0:
            return ()
        try:
            return await self._catalog.claim_deliveries(
                _now_ms(), lease_ms=_ms(LEASE_S), limit=limit
            )
        except Unavailable as exc:
            _log.warning("webhooks wait for the catalog", reason=str(exc))
            await asyncio.sleep(FIRST_RETRY_S)
            return ()

    async def _deliver(self, delivery: Delivery) -> None:
        claim = _Claim(delivery.delivered, delivery.attempts)
        events: Sequence[Event] = ()
        try:
            events = await self._catalog.events(
                delivery.media_id, after=claim.delivered, limit=PAGE
            )
            if not events:  # they have expired just now
                claim.due_at_ms = _now_ms() + _ms(LEASE_S)
            await self._send_all(events, claim, delivery.claimed_until_ms)
        except asyncio.CancelledError:  # another process goes on at once
            await self._settle(delivery, events, claim)
            raise
        await self._settle(delivery, events, claim)

    async def _send_all(self, events: Sequence[Event], claim: _Claim, lease_ms: int) -> None:
        for event in coalesced(events):
            if _now_ms() > lease_ms - _ms(LEASE_S - SENDING_S):
                return
            self._waiting.note(event, lease_ms)
            try:
                await self._receiver.send(event)
            except NotTaken as exc:
                if not self._note_failure(event, exc, claim):
                    return
            else:
                self._outcomes.labels("delivered").inc()
                claim.delivered, claim.attempts = event.number, 0

    def _note_failure(self, event: Event, failure: NotTaken, claim: _Claim) -> bool:
        """Whether the next event is to be tried."""
        log = _log.bind(media=event.media_id, event_number=event.number, reason=str(failure))
        if failure.gone:
            log.warning("webhook receiver wants no more of the title")
            claim.delivered = NO_MORE
        elif _now_ms() - event.at_ms > _ms(GIVE_UP_S):
            log.error("webhook given up")
            claim.delivered = event.number
        else:
            claim.attempts += 1
            delay_s = max(retry_delay_s(claim.attempts), failure.retry_after_s)
            claim.due_at_ms = _now_ms() + _ms(delay_s)
            log.warning("webhook not taken", attempts=claim.attempts, again_in_s=round(delay_s))
            self._outcomes.labels("failed").inc()
            self._waiting.note(event, claim.due_at_ms + _ms(LEASE_S))
            return False
        self._outcomes.labels("dropped").inc()
        return not failure.gone

    async def _settle(self, delivery: Delivery, events: Sequence[Event], claim: _Claim) -> None:
        if not events or claim.delivered >= events[-1].number:
            self._waiting.forget(delivery.media_id)
        await self._catalog.settle_delivery(
            delivery,
            delivered=claim.delivered,
            attempts=claim.attempts,
            due_at_ms=claim.due_at_ms or _now_ms(),
        )


class Waiting:
    """Since when the oldest event waits of the titles that this process has had in hand and not
    delivered. Each is forgotten when another process has it."""

    def __init__(self) -> None:
        self._titles: dict[str, tuple[int, int]] = {}  # when it happened, and until when it is ours

    def note(self, event: Event, until_ms: int) -> None:
        if event.media_id in self._titles or len(self._titles) < MAX_WAITING:
            self._titles[event.media_id] = (event.at_ms, until_ms)

    def forget(self, media_id: str) -> None:
        self._titles.pop(media_id, None)

    def oldest_s(self) -> float:
        """0 if nothing waits."""
        now_ms = _now_ms()
        self._titles = {id_: times for id_, times in self._titles.items() if times[1] > now_ms}
        oldest_ms = min((at_ms for at_ms, _ in self._titles.values()), default=now_ms)
        return max(0, now_ms - oldest_ms) / 1000


def coalesced(events: Sequence[Event]) -> list[Event]:
    """Of progress in a row only the newest."""
    return [
        *(
            event
            for event, following in pairwise(events)
            if not event.kind is following.kind is EventKind.PROGRESS
        ),
        *events[-1:],
    ]


def retry_delay_s(attempts: int) -> float:
    """After so many that failed, the first being 1."""
    delay_s: float = min(FIRST_RETRY_S * 2 ** (attempts - 1), LAST_RETRY_S)
    return delay_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not for security


def _report(ended: Iterable[asyncio.Task[None]]) -> None:
    """A title whose delivery ended by an error is handed out again when its lease is over."""
    for task in ended:
        match task.exception():
            case None:
                pass
            case Unavailable() as exc:
                _log.warning("webhooks wait for the catalog", reason=str(exc))
            case exc:
                _log.error("webhook delivery failed", exc_info=exc)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
