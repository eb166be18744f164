"""What `make build` makes is all that a machine needs."""

import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600


def called(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.deploy
@pytest.mark.timeout(2 * TIMEOUT_S)
def test_wheel_installs_where_nothing_is(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    called(sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", dist, ROOT, cwd=ROOT)
    assert len(list(dist.glob("headrace-*.tar.gz"))) == 1
    (wheel,) = dist.glob("headrace-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "server/player/dist/index.html" in names
    packages = {name.partition("/")[0] for name in names if "dist-info" not in name}
    assert packages == {"cli", "media", "native", "server", "stores", "transcoder"}

    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    called(place / "bin/pip", "install", "--quiet", wheel, cwd=tmp_path)
    headrace = place / "bin/headrace"
    assert called(headrace, "--version", cwd=tmp_path).strip() == f"headrace {version('headrace')}"
    table = called(headrace, "doctor", cwd=tmp_path)
    assert "compiled" in table
