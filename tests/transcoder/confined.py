"""A process that confines itself as a child does, with a folder in place of the root, and says what
it can still do with each path: `python -m tests.transcoder.confined ROOT PATH...`."""

import fcntl
import json
import os
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from stores.processes import forbid_new_privileges
from transcoder import landlock, nvidia

ACTIONS: dict[str, Callable[[Path], object]] = {
    "read": lambda path: os.open(path, os.O_RDONLY | os.O_NOCTTY),
    "write": lambda path: os.open(path, os.O_WRONLY | os.O_NOCTTY),
    "control": lambda path: fcntl.ioctl(
        os.open(path, os.O_RDWR | os.O_NOCTTY), termios.TIOCGWINSZ, bytes(8)
    ),
    "list": lambda path: list(path.iterdir()),
    "make": lambda path: path.joinpath("new").mkdir(),
}


def can(action: Callable[[Path], object], path: Path) -> bool:
    try:
        action(path)
    except OSError:
        return False
    return True


def main() -> None:
    root, *names = sys.argv[1:]
    forbid_new_privileges()
    landlock.confine(None, nvidia.files(Path(root)))
    done = {
        name: [it for it, action in ACTIONS.items() if can(action, Path(name))] for name in names
    }
    print(json.dumps(done))


if __name__ == "__main__":
    main()
