"""How many users there are, as a part of all, over the course of a run."""

from collections.abc import Callable

RISE = 0.1  # of a run is its beginning
QUIET = 0.1  # of a flash crowd's users are there before it and after it

Shape = Callable[[float], float]  # from the part of the run that is over


def steady(over: float) -> float:
    return min(over / RISE, 1.0)


def ramp(over: float) -> float:
    return over


def flash(over: float) -> float:
    """All come at once, as to the start of a match, and most leave at once."""
    return 1.0 if 0.4 <= over < 0.8 else QUIET


# A soak is steady for hours: what leaks or fills up shows.
SHAPES: dict[str, Shape] = {"steady": steady, "ramp": ramp, "flash": flash, "soak": steady}
DURATIONS_S = {"steady": 75, "ramp": 75, "flash": 75, "soak": 4 * 3600}
