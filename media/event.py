"""What has happened to a title, told in order: the entries of its event log.

A listener that knows the number of the last event it has had can ask for what came after.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from media.asset import Asset, Failure, Status

PROGRESS_STEPS = 100  # so often at most a title's progress is an event


class EventKind(StrEnum):
    CREATED = "created"
    QUEUED = "queued"
    PROCESSING = "processing"
    PLAYABLE = "playable"
    PROGRESS = "progress"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """The title as it was just after the event."""

    media_id: str
    user_id: str
    number: int  # 1, 2, 3 ... within the title, without gaps
    kind: EventKind
    at_ms: int
    status: Status
    playable: bool
    progress: float
    error: Failure | None = None


_KINDS = {
    Status.UPLOADING: EventKind.CREATED,
    Status.QUEUED: EventKind.QUEUED,
    Status.PROCESSING: EventKind.PROCESSING,
    Status.READY: EventKind.READY,
    Status.FAILED: EventKind.FAILED,
    Status.DELETING: EventKind.DELETED,
}


def event_kind(before: Asset | None, after: Asset) -> EventKind | None:
    """What a write of the record means to a listener; None: nothing to tell."""
    if before is None or before.status is not after.status:
        return _KINDS[after.status]
    if after.playable and not before.playable:
        return EventKind.PLAYABLE
    if _step(after) > _step(before):
        return EventKind.PROGRESS
    return None


def _step(asset: Asset) -> int:
    return math.floor(asset.progress * PROGRESS_STEPS)
