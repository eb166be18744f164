from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli import doctor
from media.settings import DataSettings, Settings
from tests.service import run


def test_machine_that_runs_the_tests_is_well(tmp_path: Path) -> None:
    answer = run(tmp_path, "doctor")
    assert answer.returncode == 0, answer.stdout
    for subject in ("Python", "PyAV", "native modules", "player page", "libx264", "h264_nvenc"):
        assert subject in answer.stdout
    for store in ("objects", "catalog", "jobs", "disk"):
        assert store in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_missing_program_is_named_with_its_remedy(tmp_path: Path) -> None:
    answer = run(tmp_path, "doctor", PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "missing" in answer.stdout
    assert "apt install redis-server" in answer.stdout


def test_little_room_is_said_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 80)
    output = StringIO()
    settings = Settings(data=DataSettings(dir=tmp_path / "data"))
    assert doctor.examine(settings, Console(file=output, width=400))
    (line,) = (line for line in output.getvalue().splitlines() if "GiB free" in line)
    assert line.startswith("advice")
    assert "make room, or set STREAM_DATA_DIR" in line
