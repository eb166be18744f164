from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.asset import TRANSITIONS, AssetType, Failure, RenditionInfo, Status
from media.event import PROGRESS_STEPS, Event, EventKind, event_kind
from stores.catalog.changes import created, moved, unplanned, updated
from stores.errors import Conflict
from tests.stores.catalog.titles import asset

FIXED = ["id", "user_id", "status", "created_at_ms", "updated_at_ms", "events", "unknown", ""]


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("status", Status)
def test_move_follows_the_table(status: Status, to: Status) -> None:
    before = replace(asset("m"), status=status)
    if to in TRANSITIONS[status]:
        write = moved(before, to, {"title": "new"}, now_ms=5)
        assert write.asset == replace(before, status=to, title="new", updated_at_ms=5, events=1)
        assert write.event is not None
        assert (write.event.kind, write.event.number) == (event_kind(before, write.asset), 1)
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
        before, title = title, updated(title, {}, now_ms=now_ms).asset
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
    after = updated(title, changes, now_ms=5).asset
    assert (after.progress, after.playable) == (progress, playable)


@pytest.mark.parametrize(("progress", "is_told"), [(0.4, False), (0.5, True), (0.6, True)])
def test_renditions_are_not_those_of_an_earlier_moment(progress: float, is_told: bool) -> None:
    before = replace(asset("m"), progress=0.5)
    old = RenditionInfo("720p", AssetType.VIDEO, "avc1", 1280, 720, 30.0, 1, 1)
    after = updated(before, {"progress": progress, "renditions": (old,)}, now_ms=5).asset
    assert after.renditions == ((old,) if is_told else before.renditions)


def test_retry_takes_back_what_the_failure_said() -> None:
    failed = replace(
        asset("m"), status=Status.FAILED, error=Failure("x", "y", True), playable=True, progress=0.5
    )
    changes = {"error": None, "playable": False, "progress": 0.0}
    after = moved(failed, Status.QUEUED, changes, now_ms=5).asset
    assert (after.error, after.playable, after.progress) == (None, False, 0.0)


def test_creation_is_the_first_event() -> None:
    write = created(replace(asset("m", created_at_ms=3), events=7), now_ms=5)
    assert write.asset == asset("m", created_at_ms=3, events=1)
    assert write.event == Event("m", "ann", 1, EventKind.CREATED, 5, Status.UPLOADING, False, 0.0)


def test_event_shows_the_title_just_after_it() -> None:
    title = replace(asset("m"), status=Status.PROCESSING, playable=True, progress=0.25, events=4)
    failure = Failure("x", "y", retryable=True)
    event = moved(title, Status.FAILED, {"error": failure}, now_ms=5).event
    assert event == Event(
        "m", "ann", 5, EventKind.FAILED, 5, Status.FAILED, True, 0.25, error=failure
    )


@given(reports=st.lists(st.floats(0, 1), max_size=50))
def test_events_are_numbered_without_gaps_and_progress_is_told_rarely(reports: list[float]) -> None:
    title, numbers = asset("m"), []
    for progress in [*reports, *(n / 1000 for n in range(1001))]:
        write = updated(title, {"progress": progress}, now_ms=5)
        title = write.asset
        if write.event is not None:
            numbers.append(write.event.number)
    assert numbers == list(range(1, title.events + 1))
    assert len(numbers) <= PROGRESS_STEPS


@pytest.mark.parametrize("status", Status)
def test_only_a_failed_title_loses_its_plan(status: Status) -> None:
    before = replace(asset("m"), status=status, version="00", playable=True, progress=0.5)
    if status is Status.FAILED:
        write = unplanned(before, now_ms=5)
        assert write.asset == replace(asset("m"), status=status, updated_at_ms=5)
        assert write.event is None
    else:
        with pytest.raises(Conflict, match=f"media m is {status}: its plan is kept"):
            unplanned(before, now_ms=5)
