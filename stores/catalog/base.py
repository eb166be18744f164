"""The truth about every title: its record, its plan, and what has been committed of it.

Every change of state is a conditional write that `media.asset.TRANSITIONS` allows; the loser
of a race gets Conflict and has changed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from media.asset import Asset, Status
from media.commit import Commit
from media.plan import Plan


@dataclass(frozen=True, slots=True)
class Page:
    items: tuple[Asset, ...]
    next_cursor: str | None


class InvalidCursor(ValueError):
    pass


class Catalog:
    async def create(self, asset: Asset) -> None:
        """Raises Conflict if the id exists."""
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
        self, media_id: str, to: Status, changes: Mapping[str, object] | None = None
    ) -> Asset:
        """Move to `to` if TRANSITIONS allows it from the current status, with `changes` to
        other fields of Asset in the same write. Raises NotFound, Conflict."""
        raise NotImplementedError

    async def update(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        """Change fields other than the status of a title that is not being deleted.
        Raises NotFound, Conflict (being deleted). `progress` and `playable` never go back."""
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

    async def commits(self, media_id: str, version: str) -> tuple[Commit, ...]:
        """All commits so far, ordered by task."""
        raise NotImplementedError

    async def remove(self, media_id: str) -> None:
        """Drop the record, its plan and its commits; no error if there is none."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises Unavailable, with what to do about it, when the catalog cannot be used."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
