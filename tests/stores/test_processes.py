import os
import signal
import subprocess
import sys

import pytest

from tests.stores.engine import REPOSITORY

PARENT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
sys.stdin.read()
"""
CHILD = """
import signal, sys
from stores.processes import die_with_parent
die_with_parent(int(sys.argv[1]))
print("asked", flush=True)
signal.pause()
"""
ORPHAN = """
from stores.processes import die_with_parent
die_with_parent(1 << 30)
print("alive")
"""
RESTRICTED = """
from pathlib import Path
from stores.processes import forbid_new_privileges
forbid_new_privileges()
print(Path("/proc/self/status").read_text())
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_process_dies_with_its_parent(number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "asked\n"
        os.kill(parent.pid, number)
        assert parent.stdout.read() == ""  # ends when the child, which holds it too, has ended


def test_process_whose_parent_has_gone_ends_at_once() -> None:
    done = run(ORPHAN)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_no_new_privileges() -> None:
    assert "NoNewPrivs:\t1" in run(RESTRICTED).stdout
