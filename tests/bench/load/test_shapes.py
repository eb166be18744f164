import pytest

from bench.load.shapes import DURATIONS_S, QUIET, SHAPES


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ("steady", {0: 0, 0.05: 0.5, 0.1: 1, 0.99: 1}),
        ("ramp", {0: 0, 0.5: 0.5, 0.99: 0.99}),
        ("flash", {0: QUIET, 0.39: QUIET, 0.4: 1, 0.79: 1, 0.8: QUIET}),
        ("soak", {0: 0, 0.5: 1}),
    ],
)
def test_shape_says_how_many_of_the_users_there_are(shape: str, parts: dict[float, float]) -> None:
    assert {over: SHAPES[shape](over) for over in parts} == pytest.approx(parts)


def test_every_shape_has_a_duration_and_never_more_than_all_users() -> None:
    assert SHAPES.keys() == DURATIONS_S.keys()
    for shape in SHAPES.values():
        assert all(0 <= shape(step / 1000) <= 1 for step in range(1000))
