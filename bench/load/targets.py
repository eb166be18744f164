"""The targets and what a run made of them."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

DEFAULT_TARGETS = Path(__file__).with_name("targets.toml")
AT_LEAST = frozenset({"hit_ratio"})
NAMES = AT_LEAST | {
    "api_p99_ms",
    "upload_p99_ms_per_mb",
    "delete_p99_ms",
    "playlist_p99_ms",
    "init_p99_ms",
    "segment_p99_ms",
    "error_rate",
    "startup_p95_ms",
    "rebuffering_ratio",
}

Figures = Mapping[str, float | None]  # None: nothing was measured


class InvalidTargets(ValueError):
    pass


def load_targets(path: Path) -> dict[str, float]:
    """Raises InvalidTargets."""
    try:
        targets = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidTargets(f"{path}: {error}") from error
    if not targets:
        raise InvalidTargets(f"{path} has no targets")
    for name, limit in targets.items():
        if name not in NAMES:
            raise InvalidTargets(f"{path}: {name} is none of {', '.join(sorted(NAMES))}")
        if type(limit) not in (int, float) or limit < 0:
            raise InvalidTargets(f"{path}: {name} has to be a number of 0 or more, is {limit!r}")
    return targets


def missed(targets: Mapping[str, float], figures: Figures) -> Iterator[str]:
    for name, limit in targets.items():
        figure = figures.get(name)
        if figure is None:
            yield f"{name}: nothing was measured"
        elif figure < limit if name in AT_LEAST else figure > limit:
            wanted = "at least" if name in AT_LEAST else "at most"
            yield f"{name}: {figure:.4g}, wanted {wanted} {limit:g}"
