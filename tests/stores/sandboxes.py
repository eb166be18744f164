"""Code run in a process that the machine refuses something."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

NOBODY = 65534


def _as_nobody(report: Callable[[], str], pipe: Connection) -> None:
    if os.getuid() == 0:  # permissions mean nothing to root
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    pipe.send(report())


def run_as_nobody(report: Callable[[], str]) -> str:
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_as_nobody, args=(report, theirs))
    process.start()
    with ours, theirs:
        assert ours.poll(60)
        text = ours.recv()
    process.join()
    process.close()
    assert isinstance(text, str)
    return text


def run_on_small_disk(place: Path, *, size: str, module: str) -> str:
    """Standard output of `python -m module place` where `place` is a file system of `size`."""
    place.mkdir()
    if shutil.which("unshare") is None or os.uname().sysname != "Linux":
        pytest.skip("needs Linux's unshare to make a small disk")
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", place]).returncode != 0:
        pytest.skip("this machine does not let a user mount a small disk")
    script = 'mount -t tmpfs -o "size=$0" none "$1" && exec "$2" -m "$3" "$1"'
    done = subprocess.run(
        [*unshare, "sh", "-c", script, size, place, sys.executable, module],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stderr == ""
    return done.stdout
