import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from media.keys import segment_name
from server.origin.diskfiles import BLOCK_BYTES, DiskFiles

BODY = b"0123456789" * 1000
KEY = f"v/m1/1/720p/{segment_name(1, BODY)}"
BUDGET_BYTES = 64 * BLOCK_BYTES
# What follows runs in processes of its own: random objects, ten times as much as there is room for.
WRITER = f"""
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from media.keys import segment_name
from server.origin.diskfiles import DiskFiles
random = Random(sys.argv[2])
files = DiskFiles(Path(sys.argv[1]), {BUDGET_BYTES})
for n in range(300):
    with suppress(TimeoutError):  # too many at once: it is not kept
        body = random.randbytes(random.randrange(30_000))
        files.write(f"v/m1/1/{{segment_name(n, body)}}", body)
"""


def objects_in(root: Path) -> list[Path]:
    return sorted(root.glob("??/*"))


def taken(root: Path) -> int:
    sizes = [path.stat().st_size for path in objects_in(root)]
    return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)


def test_what_was_written_is_read_by_whoever_shares_the_directory(tmp_path: Path) -> None:
    DiskFiles(tmp_path, 1 << 20).write(KEY, BODY)
    kept = DiskFiles(tmp_path, 1 << 20).read(KEY)
    assert kept is not None
    assert kept.body == BODY
    assert DiskFiles(tmp_path, 1 << 20).read(KEY.replace("720p", "360p")) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"",
        lambda body: body[:-1],
        lambda body: body + b"\0",
        lambda body: body[:5000] + bytes([body[5000] ^ 1]) + body[5001:],
        lambda body: bytes(len(body)),
    ],
    ids=["empty", "cut", "longer", "one bit", "zeros"],
)
def test_damaged_object_is_none_and_is_removed(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    files = DiskFiles(tmp_path, 1 << 20)
    files.write(KEY, BODY)
    (path,) = objects_in(tmp_path)
    path.write_bytes(damage(BODY))
    assert files.read(KEY) is None
    assert (objects_in(tmp_path), files.counts.damaged) == ([], 1)
    files.write(KEY, BODY)
    assert files.read(KEY) is not None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path, 16 * BLOCK_BYTES)
    bodies = [(b"%d" % n).ljust(4000) for n in range(17)]
    keys = [segment_name(n, body) for n, body in enumerate(bodies)]
    for at_s in range(16):
        before = set(objects_in(tmp_path))
        files.write(keys[at_s], bodies[at_s])
        (new,) = set(objects_in(tmp_path)) - before
        os.utime(new, (at_s, at_s))
    assert files.read(keys[0]) is not None
    files.write(keys[16], bodies[16])
    missing = [n for n, key in enumerate(keys) if files.read(key) is None]
    assert missing == [1, 2]  # one to make room, and one more
    assert files.counts.evictions == 2


def test_object_above_its_share_is_not_kept(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path, 8 * BLOCK_BYTES)
    for size in (BLOCK_BYTES, BLOCK_BYTES + 1):
        files.write(segment_name(1, bytes(size)), bytes(size))
    assert len(objects_in(tmp_path)) == 1


def test_what_a_dead_process_left_is_counted_and_removed(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path, BUDGET_BYTES)
    files.write(KEY, BODY)
    (path,) = objects_in(tmp_path)
    path.with_name("left.new").write_bytes(bytes(100_000))
    (tmp_path / "bytes").write_bytes(b"torn")
    DiskFiles(tmp_path, BUDGET_BYTES).write(KEY.replace("720p", "360p"), BODY)
    assert len(objects_in(tmp_path)) == 2
    assert int((tmp_path / "bytes").read_bytes()) == taken(tmp_path)


def test_smaller_budget_holds_from_the_first_write(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path, BUDGET_BYTES)
    for n in range(20):
        files.write(segment_name(n, BODY), BODY)
    DiskFiles(tmp_path, BUDGET_BYTES // 2).write(segment_name(20, BODY), BODY)
    assert 0 < taken(tmp_path) <= BUDGET_BYTES // 2


def test_budget_holds_at_every_moment_over_all_processes(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(4)
    ]
    most = looks = 0
    try:
        while any(writer.poll() is None for writer in writers):
            if not (tmp_path / "bytes").exists():
                continue
            with (tmp_path / "bytes").open("rb") as count:
                fcntl.flock(count, fcntl.LOCK_EX)
                most = max(most, taken(tmp_path))
                looks += 1
            time.sleep(0.001)
    finally:
        for writer in writers:
            writer.kill()
            assert writer.wait() == 0
    assert looks > 10
    assert BUDGET_BYTES // 2 < most <= BUDGET_BYTES
    assert int((tmp_path / "bytes").read_bytes()) == taken(tmp_path)


def test_damage_at_any_place_is_seen(tmp_path: Path) -> None:
    files, random = DiskFiles(tmp_path, 1 << 20), Random(1)
    for _ in range(50):
        files.write(KEY, BODY)
        (path,) = objects_in(tmp_path)
        with path.open("r+b") as file:
            file.seek(random.randrange(len(BODY)))
            file.write(b"\xff")
        assert files.read(KEY) is None


def test_turn_is_for_one_process_and_ends_with_it(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path, 1 << 20)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from server.origin.diskfiles import DiskFiles\n"
            "files = DiskFiles(Path(sys.argv[1]), 1 << 20)\n"
            "print(files.take_turn('v/a'), flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not files.take_turn("v/a")
        assert files.take_turn("v/b")
        holder.kill()
    assert files.take_turn("v/a")
    files.end_turn("v/a")
    files.end_turn("v/b")
    files.close()
