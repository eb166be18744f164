from pathlib import Path

import pytest

from bench.load.targets import DEFAULT_TARGETS, NAMES, InvalidTargets, load_targets, missed


def test_default_targets_are_all_there_are() -> None:
    targets = load_targets(DEFAULT_TARGETS)
    assert targets.keys() == NAMES
    assert targets["api_p99_ms"] == 50


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no targets"),
        ("api_p99_ms = ", "Invalid value"),
        ("api_p98_ms = 5", "api_p98_ms is none of"),
        ('api_p99_ms = "5"', "has to be a number"),
        ("api_p99_ms = true", "has to be a number"),
        ("api_p99_ms = -1", "has to be a number"),
    ],
)
def test_mistake_in_the_targets_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(InvalidTargets, match=complaint):
        load_targets(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTargets, match=r"nowhere\.toml"):
        load_targets(tmp_path / "nowhere.toml")


def test_what_is_missed_is_told_with_what_was_measured() -> None:
    targets = {"api_p99_ms": 50.0, "init_p99_ms": 50.0, "hit_ratio": 0.9, "error_rate": 0.0}
    kept = {"api_p99_ms": 50.0, "init_p99_ms": 1.0, "hit_ratio": 0.9, "error_rate": 0.0}
    assert list(missed(targets, kept)) == []
    assert list(missed(targets, {"api_p99_ms": 51.0, "hit_ratio": 0.89, "error_rate": None})) == [
        "api_p99_ms: 51, wanted at most 50",
        "init_p99_ms: nothing was measured",
        "hit_ratio: 0.89, wanted at least 0.9",
        "error_rate: nothing was measured",
    ]
