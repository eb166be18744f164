"""The truth about every title: its record, its plan, and what has been committed of it.

Every change of state is a conditional write that `media.asset.TRANSITIONS` allows; the loser
of a race gets Conflict and has changed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from media.asset import Asset, Status
from media.commit import Commit
from media.event import Event
from media.plan import Plan
from stores.trait import Trait

EVENTS_KEPT_S = 30 * 86_400
KEY_KEPT_S = 86_400  # a client that retries does so within a day


@dataclass(frozen=True, slots=True)
class Page:
    items: tuple[Asset, ...]
    next_cursor: str | None


class InvalidCursor(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Delivery:
    """A title with events that webhooks have not had, while one deliverer has it in hand."""

    media_id: str
    delivered: int  # number of the last event that was delivered; 0: none yet
    attempts: int  # that failed since
    claimed_until_ms: int  # says whose claim it is


class Catalog:
    async def create(self, asset: Asset) -> None:
        """Raises Conflict if the id exists, or did: events of a removed title may be kept."""
        raise NotImplementedError

    async def get(self, media_id: str) -> Asset:
        """Raises NotFound. A title being deleted is still returned, with that status."""
        raise NotImplementedError

    async def list_by_user(self, user_id: str, *, limit: int, cursor: str | None) -> Page:
        """Newest first, without titles being deleted. Raises InvalidCursor. A cursor stays
        valid while titles come and go: no title is shown twice or skipped."""
        raise NotImplementedError

    async def list_by_status(self, statuses: Sequence[Status]) -> tuple[Asset, ...]:
        """For the reconciler at start and now and then; never on a request path."""
        raise NotImplementedError

    async def transition(
        self,
        media_id: str,
        to: Status,
        changes: Mapping[str, object] | None = None,
        *,
        seen: Asset | None = None,
    ) -> Asset:
        """Move to `to` if TRANSITIONS allows it from the current status, with `changes` to
        other fields of Asset in the same write; with `seen` only if that still is the record.
        Raises NotFound, Conflict."""
        raise NotImplementedError

    async def update(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        """Change fields other than the status of a title that is not being deleted.
        Raises NotFound, Conflict (being deleted). `progress` and `playable` never go back."""
        raise NotImplementedError

    async def events(self, media_id: str, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
        """The title's events with higher numbers, in order. Every write of a record that means
        something to a listener (`media.event.event_kind`) appends one in the same transaction, so
        none is missing or told that did not happen. Kept EVENTS_KEPT_S, beyond the record's own
        removal; empty for a title that never was."""
        raise NotImplementedError

    async def claim_deliveries(
        self, now_ms: int, *, lease_ms: int, limit: int
    ) -> tuple[Delivery, ...]:
        """Titles with undelivered events that are due, longest due first. Nobody else is given
        them before the lease is over. Events of one title are delivered by one at a time."""
        raise NotImplementedError

    async def settle_delivery(
        self, delivery: Delivery, *, delivered: int, attempts: int, due_at_ms: int
    ) -> None:
        """End a claim: events up to `delivered` are; if there are newer ones they are due then.
        Does nothing if the claim has gone to another."""
        raise NotImplementedError

    async def claim_key(self, user_id: str, key: str, media_id: str) -> str:
        """Which title an idempotency key of this user stands for: `media_id` if nobody claimed
        it within KEY_KEPT_S, else the first claimant's."""
        raise NotImplementedError

    async def release_key(self, user_id: str, key: str, media_id: str) -> None:
        """Forget the key if it stands for that title, which did not come to be."""
        raise NotImplementedError

    async def put_plan(self, media_id: str, plan: Plan) -> Plan:
        """Store the title's plan; the first one wins and is returned."""
        raise NotImplementedError

    async def get_plan(self, media_id: str) -> Plan | None:
        raise NotImplementedError

    async def commit(self, media_id: str, version: str, commit: Commit) -> bool:
        """True if this is the first commit of its task, False if one was there before or the
        title is not being processed any more: the caller's result is then not part of the
        title."""
        raise NotImplementedError

    async def commits(
        self, media_id: str, version: str, *, kind: str = "", start: int = 0
    ) -> tuple[Commit, ...]:
        """All commits so far, ordered by task; of one kind (`video`, `audio`) only those of the
        segments from number `start` on, see `media.commit.task_name`. A long title has
        thousands: who asks again and again asks for what it does not know yet."""
        raise NotImplementedError

    async def forget_plan(self, media_id: str) -> None:
        """Drop the plan and the commits of a title that has failed, and what its record says of
        them (`version`, `playable`, `progress`, `renditions`), so that it is planned anew.
        Raises NotFound, Conflict (not failed)."""
        raise NotImplementedError

    async def remove(self, media_id: str) -> None:
        """Drop the record, its plan and its commits; no error if there is none. Its events stay
        until they expire: a listener may not have heard yet that it is deleted. A title that
        was not `deleting` before is so first, for them."""
        raise NotImplementedError

    async def sweep(self) -> None:
        """Drop what has expired, where the backend does not do so by itself. Now and then."""
        raise NotImplementedError

    async def create_storage(self) -> Sequence[str]:
        """Make the tables that a new installation lacks and say which; for `doctor --create`."""
        raise NotImplementedError

    async def traits(self) -> Sequence[Trait]:
        """What an operator has set up, for a pre-flight. Raises Unavailable."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises Unavailable, with what to do about it, when the catalog cannot be used."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
