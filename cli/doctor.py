"""What this machine has of what the service needs, as a table."""

import asyncio
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from rich.console import Console
from rich.table import Table

import native
from media.settings import DataSettings, Settings
from server.app import PLAYER_PAGE
from stores.errors import Unavailable
from stores.wiring import open_stores
from transcoder.encoder import HARDWARE, SOFTWARE, try_encoder
from transcoder.messages import Message, Opened
from transcoder.versions import library_versions

MIN_FREE_BYTES = 5 * 1024**3
GIB = 1024**3
VERSION_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(settings: Settings, console: Console) -> bool:
    """Print the table; True if everything needed is there."""
    with console.status("examining"):
        findings = [
            *_software(),
            _encoder(SOFTWARE, "reinstall PyAV: pip install --force-reinstall av"),
            _encoder(HARDWARE, f"titles are encoded with {SOFTWARE}", needed=False),
            *_stores(settings),
            _disk(settings.data.dir),
        ]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "[green]ok" if finding.ok else "[red]missing" if finding.needed else "[yellow]advice"
        table.add_row(mark, finding.subject, finding.found, "" if finding.ok else finding.remedy)
    console.print(table)
    return all(finding.ok or not finding.needed for finding in findings)


def _software() -> Iterator[Finding]:
    yield Finding("Python", True, platform.python_version())
    yield Finding("PyAV", True, library_versions())
    yield _native_modules()
    page = (PLAYER_PAGE / "index.html").is_file()
    yield Finding("player page", page, str(PLAYER_PAGE) if page else "not built", "make player")
    yield _program(("redis-server", "valkey-server"), "apt install redis-server")
    yield _program(
        ("ffmpeg",), "only tests and benchmarks use it: apt install ffmpeg", needed=False
    )


def _native_modules() -> Finding:
    folder = Path(native.__path__[0])
    compiled = {
        path.name.partition(".")[0] for s in EXTENSION_SUFFIXES for path in folder.glob(f"*{s}")
    }
    missing = sorted({path.stem for path in folder.glob("*.pyx")} - compiled)
    if missing:
        return Finding(
            "native modules", False, f"not compiled: {', '.join(missing)}", "make native"
        )
    return Finding("native modules", bool(compiled), f"{len(compiled)} compiled", "make native")


def _program(names: tuple[str, ...], remedy: str, *, needed: bool = True) -> Finding:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return Finding(names[0], False, "not installed", remedy, needed)
    flag = "-version" if names[0] == "ffmpeg" else "--version"
    output = subprocess.run(  # noqa: S603 -- a program found on PATH, with a constant option
        [path, flag], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
    ).stdout
    return Finding(Path(path).name, True, " ".join(output.split()[:3]))


def _encoder(name: str, remedy: str, *, needed: bool = True) -> Finding:
    answers: list[Message] = []
    try_encoder(answers.append, name)
    (answer,) = answers
    assert isinstance(answer, Opened)
    return Finding(name, answer.works, "encodes" if answer.works else answer.reason, remedy, needed)


def _stores(settings: Settings) -> list[Finding]:
    if settings.data.dir.exists():
        return asyncio.run(_check_stores(settings))
    with tempfile.TemporaryDirectory(prefix="headrace-doctor-") as directory:
        data = DataSettings(dir=Path(directory))
        return asyncio.run(_check_stores(settings.model_copy(update={"data": data})))


async def _check_stores(settings: Settings) -> list[Finding]:
    try:
        async with open_stores(settings) as stores:
            return [
                await _check("objects", stores.objects.check()),
                await _check("catalog", stores.catalog.check()),
                await _check("jobs", stores.jobs.check()),
            ]
    except Unavailable as error:
        return [Finding("stores", False, "cannot be opened", str(error))]


async def _check(store: str, answer: Awaitable[None]) -> Finding:
    try:
        await answer
    except Unavailable as error:
        return Finding(store, False, "does not answer", str(error))
    return Finding(store, True, "answers")


def _disk(directory: Path) -> Finding:
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GiB free at {there.absolute()}"
    remedy = f"{MIN_FREE_BYTES / GIB:.0f} GiB are little already: make room, or set STREAM_DATA_DIR"
    return Finding("disk", free >= MIN_FREE_BYTES, found, remedy, needed=False)
