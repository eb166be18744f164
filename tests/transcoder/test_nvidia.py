"""Of a child on a machine with a GPU. There was none: a terminal stands for its devices."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcoder import landlock, nvidia

IOCTL_SINCE = 5
ROOT = Path(__file__).parents[2]


@pytest.fixture
def terminals() -> Iterator[list[Path]]:
    """Devices that anybody can open, and ask something by ioctl."""
    pairs = [os.openpty() for _ in range(2)]
    yield [Path(os.ttyname(slave)) for _, slave in pairs]
    for fd in (fd for pair in pairs for fd in pair):
        os.close(fd)


def machine(root: Path) -> None:
    for name in ("etc/ld.so.cache", "etc/passwd", "usr/lib/libcuda.so.1", "usr/bin/sh"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "proc/driver/nvidia").mkdir(parents=True)
    (root / "dev").mkdir()


def left(root: Path, *paths: Path) -> list[list[str]]:
    """What a child can still do with each of them."""
    command = [sys.executable, "-m", "tests.transcoder.confined", str(root), *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout).values())


@pytest.mark.skipif(landlock.version() < IOCTL_SINCE, reason="its Landlock knows no ioctl")
def test_child_opens_the_gpu_and_no_other_device(tmp_path: Path, terminals: list[Path]) -> None:
    machine(tmp_path)
    for name, terminal in zip(("nvidia0", "tty"), terminals, strict=True):
        (tmp_path / "dev" / name).symlink_to(terminal)
    assert left(tmp_path, *(tmp_path / "dev" / name for name in ("nvidia0", "tty"))) == [
        ["read", "write", "control"],
        [],
    ]


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_child_reads_what_nvidias_libraries_read(tmp_path: Path) -> None:
    machine(tmp_path)
    names = ("usr/lib/libcuda.so.1", "etc/ld.so.cache", "etc/passwd", "usr/bin/sh")
    files = [tmp_path / name for name in names]
    folders = [tmp_path / name for name in ("usr/lib", "proc/driver/nvidia", "etc", "dev")]
    assert left(tmp_path, *files, *folders) == [[]] * 8  # no GPU, no rule
    (tmp_path / "dev" / "nvidiactl").touch()
    readable = [["read"], ["read"], [], []]
    assert left(tmp_path, *files) == readable
    assert left(tmp_path, *folders) == [["read", "list"], ["read", "list"], [], []]


def test_devices_are_those_of_cuda(tmp_path: Path) -> None:
    machine(tmp_path)
    there = ("nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "nvme0", "null")
    for name in there:
        (tmp_path / "dev" / name).touch()
    writable = {
        path.name for path, to in nvidia.files(tmp_path).items() if to & landlock.WRITE_FILE
    }
    assert writable == {"nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm"}
