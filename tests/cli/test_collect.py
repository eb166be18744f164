from pathlib import Path

from tests.service import run

STRAY = "v/0123456789abcdef01234567/0123456789ab/index.m3u8"


def test_what_belongs_to_no_title_is_shown_and_then_removed(tmp_path: Path) -> None:
    stray = tmp_path / "data" / "objects" / STRAY
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"#EXTM3U")

    told = run(tmp_path, "collect", "--dry-run")
    line = "v/0123456789abcdef01234567/: it belongs to no title"
    assert (told.returncode, told.stdout.splitlines()) == (
        0,
        [line, "1 would be removed; nothing was"],
    )
    assert stray.exists()

    done = run(tmp_path, "collect")
    assert (done.returncode, done.stdout.splitlines()) == (0, [line, "1 removed"])
    assert not stray.exists()
    assert run(tmp_path, "collect").stdout == "nothing to remove\n"
