"""What a write makes of a title and tells of it, decided the same for every backend."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from media.asset import TRANSITIONS, Asset, Status
from media.event import Event, event_kind
from stores.errors import Conflict

_FIXED = frozenset({"id", "user_id", "status", "created_at_ms", "updated_at_ms", "events"})
_CHANGEABLE = frozenset(field.name for field in fields(Asset)) - _FIXED


@dataclass(frozen=True, slots=True)
class Write:
    """The record as it is to be, and the event that goes into the log together with it."""

    asset: Asset
    event: Event | None


def created(asset: Asset, *, now_ms: int) -> Write:
    return _told(None, replace(asset, events=0), at_ms=now_ms)


def check_unchanged(asset: Asset, seen: Asset | None) -> None:
    """The time of a record's last write grows with each."""
    if seen is not None and seen.updated_at_ms != asset.updated_at_ms:
        raise Conflict(f"media {asset.id} has changed since it was looked at")


def moved(asset: Asset, to: Status, changes: Mapping[str, object], *, now_ms: int) -> Write:
    if to not in TRANSITIONS[asset.status]:
        raise Conflict(f"media {asset.id} is {asset.status} and cannot become {to}")
    return _changed(asset, {**changes}, now_ms=now_ms, status=to)


def updated(asset: Asset, changes: Mapping[str, object], *, now_ms: int) -> Write:
    if asset.status is Status.DELETING:
        raise Conflict(f"media {asset.id} is being deleted")
    values: dict[str, Any] = {**changes}
    if values.get("progress", asset.progress) < asset.progress:
        values.pop("renditions", None)  # from before those that the record has
    for name in ("progress", "playable"):
        if name in values:  # workers report in any order
            values[name] = max(getattr(asset, name), values[name])
    return _changed(asset, values, now_ms=now_ms, status=asset.status)


def unplanned(asset: Asset, *, now_ms: int) -> Write:
    if asset.status is not Status.FAILED:
        raise Conflict(f"media {asset.id} is {asset.status}: its plan is kept")
    values = {"version": None, "playable": False, "progress": 0.0, "renditions": ()}
    return _changed(asset, values, now_ms=now_ms, status=asset.status)


def _changed(asset: Asset, values: dict[str, Any], *, now_ms: int, status: Status) -> Write:
    if unknown := values.keys() - _CHANGEABLE:
        raise ValueError(f"{', '.join(sorted(unknown))} of a media record cannot be changed")
    newer_ms = max(now_ms, asset.updated_at_ms + 1)  # the order of writes survives clock steps
    after = replace(asset, **values, status=status, updated_at_ms=newer_ms)
    return _told(asset, after, at_ms=newer_ms)


def _told(before: Asset | None, after: Asset, *, at_ms: int) -> Write:
    kind = event_kind(before, after)
    if kind is None:
        return Write(after, None)
    after = replace(after, events=after.events + 1)
    event = Event(
        media_id=after.id,
        user_id=after.user_id,
        number=after.events,
        kind=kind,
        at_ms=at_ms,
        status=after.status,
        playable=after.playable,
        progress=after.progress,
        error=after.error,
    )
    return Write(after, event)
