from media.asset import TRANSITIONS, Status


def test_every_status_has_its_row() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_every_status_can_be_deleted_and_nothing_leaves_deleting() -> None:
    for status in Status:
        assert (Status.DELETING in TRANSITIONS[status]) == (status is not Status.DELETING)


def test_every_status_is_reached_from_uploading() -> None:
    reached = {Status.UPLOADING}
    while grown := {to for status in reached for to in TRANSITIONS[status]} - reached:
        reached |= grown
    assert reached == set(Status)
