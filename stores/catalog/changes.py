"""What a write makes of a title, decided the same for every backend."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from media.asset import TRANSITIONS, Asset, Status
from stores.errors import Conflict

_FIXED = frozenset({"id", "user_id", "status", "created_at_ms", "updated_at_ms"})
_CHANGEABLE = frozenset(field.name for field in fields(Asset)) - _FIXED


def moved(asset: Asset, to: Status, changes: Mapping[str, object], *, now_ms: int) -> Asset:
    if to not in TRANSITIONS[asset.status]:
        raise Conflict(f"media {asset.id} is {asset.status} and cannot become {to}")
    return _changed(asset, {**changes}, now_ms=now_ms, status=to)


def updated(asset: Asset, changes: Mapping[str, object], *, now_ms: int) -> Asset:
    if asset.status is Status.DELETING:
        raise Conflict(f"media {asset.id} is being deleted")
    values: dict[str, Any] = {**changes}
    for name in ("progress", "playable"):
        if name in values:  # workers report in any order
            values[name] = max(getattr(asset, name), values[name])
    return _changed(asset, values, now_ms=now_ms, status=asset.status)


def _changed(asset: Asset, values: dict[str, Any], *, now_ms: int, status: Status) -> Asset:
    if unknown := values.keys() - _CHANGEABLE:
        raise ValueError(f"{', '.join(sorted(unknown))} of a media record cannot be changed")
    newer_ms = max(now_ms, asset.updated_at_ms + 1)  # the order of writes survives clock steps
    return replace(asset, **values, status=status, updated_at_ms=newer_ms)
