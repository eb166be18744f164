from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.asset import TRANSITIONS, Status
from stores.catalog.changes import moved, updated
from stores.errors import Conflict
from tests.stores.catalog.titles import asset

FIXED = ["id", "user_id", "status", "created_at_ms", "updated_at_ms", "unknown", ""]


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("status", Status)
def test_move_follows_the_table(status: Status, to: Status) -> None:
    before = replace(asset("m"), status=status)
    if to in TRANSITIONS[status]:
        after = moved(before, to, {"title": "new"}, now_ms=5)
        assert after == replace(before, status=to, title="new", updated_at_ms=5)
    else:
        with pytest.raises(Conflict, match=f"media m is {status} and cannot become {to}"):
            moved(before, to, {}, now_ms=5)


@pytest.mark.parametrize("name", FIXED)
def test_fixed_field_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        updated(asset("m"), {name: "x", "title": "new"}, now_ms=5)
    with pytest.raises(ValueError, match="cannot be changed"):
        moved(asset("m"), Status.QUEUED, {name: "x"}, now_ms=5)


def test_title_being_deleted_is_not_updated() -> None:
    with pytest.raises(Conflict, match="media m is being deleted"):
        updated(replace(asset("m"), status=Status.DELETING), {}, now_ms=5)


@given(clock=st.lists(st.integers(0, 20), min_size=1))
def test_time_of_update_always_grows(clock: list[int]) -> None:
    title = asset("m")
    for now_ms in clock:
        before, title = title, updated(title, {}, now_ms=now_ms)
        assert title.updated_at_ms > before.updated_at_ms
        assert title.updated_at_ms >= now_ms


CHANGES: list[tuple[dict[str, Any], float, bool]] = [
    ({"progress": 0.4, "playable": True}, 0.5, True),
    ({"progress": 0.6}, 0.6, True),
    ({"playable": False}, 0.5, True),
    ({}, 0.5, True),
]


@pytest.mark.parametrize(("changes", "progress", "playable"), CHANGES)
def test_progress_and_playable_never_go_back(
    changes: dict[str, Any], progress: float, playable: bool
) -> None:
    title = replace(asset("m"), progress=0.5, playable=True)
    after = updated(title, changes, now_ms=5)
    assert (after.progress, after.playable) == (progress, playable)
