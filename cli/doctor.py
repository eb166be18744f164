"""What this machine and its stores have of what the service needs, as a table."""

import asyncio
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

import native
from cli.doctor_playback import playback_traits
from cli.doctor_titles import title_traits
from media.settings import AwsSettings, DataSettings, ServerSettings, Settings
from server.app import PLAYER_PAGE
from stores.errors import Unavailable
from stores.trait import Trait
from stores.wiring import backends, create_storage, open_stores
from transcoder.encoder import HARDWARE, SOFTWARE, try_encoder
from transcoder.messages import Message, Opened
from transcoder.versions import library_versions

MIN_FREE_BYTES = 5 * 1024**3
GIB = 1024**3
VERSION_TIMEOUT_S = 10
CLOCK_TIMEOUT_S = 10
MAX_SKEW_S = 60  # S3 refuses signatures from 15 minutes on; deadlines and expiries suffer before


def create(settings: Settings, console: Console) -> None:
    """Make the buckets and tables that a new installation lacks. Raises StoreError."""
    asyncio.run(_create(settings, console))


def examine(
    settings: Settings, console: Console, *, new: bool = False, titles: bool = False
) -> bool:
    """Print the table; True if everything needed is there. A `new` one needs no CDN yet."""
    with console.status("examining"):
        findings = [
            *_software(settings),
            _encoder(SOFTWARE, "reinstall PyAV: pip install --force-reinstall av"),
            _encoder(HARDWARE, f"titles are encoded with {SOFTWARE}", needed=False),
            *_stores(settings),
            *_clock(settings.aws),
            *playback_traits(settings, needed=not new),
            *(title_traits(settings) if titles else ()),
            _disk(settings.data.dir),
        ]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "[green]ok" if finding.ok else "[red]missing" if finding.needed else "[yellow]advice"
        table.add_row(mark, finding.what, finding.found, "" if finding.ok else finding.remedy)
    console.print(table)
    return all(finding.ok or not finding.needed for finding in findings)


def _software(settings: Settings) -> Iterator[Trait]:
    yield Trait("Headrace", True, version("headrace"))
    yield Trait("Python", True, platform.python_version())
    yield Trait("PyAV", True, library_versions())
    yield _native_modules()
    page = (PLAYER_PAGE / "index.html").is_file()
    yield Trait("player page", page, str(PLAYER_PAGE) if page else "not built", "make player")
    if settings.redis.host is None and settings.redis.url is None:
        yield _program(("redis-server", "valkey-server"), "apt install redis-server")
    yield _program(
        ("ffmpeg",), "only tests and benchmarks use it: apt install ffmpeg", needed=False
    )


def _native_modules() -> Trait:
    folder = Path(native.__path__[0])
    compiled = {
        path.name.partition(".")[0] for s in EXTENSION_SUFFIXES for path in folder.glob(f"*{s}")
    }
    missing = sorted({path.stem for path in folder.glob("*.pyx")} - compiled)
    if missing:
        return Trait("native modules", False, f"not compiled: {', '.join(missing)}", "make native")
    return Trait("native modules", bool(compiled), f"{len(compiled)} compiled", "make native")


def _program(names: tuple[str, ...], remedy: str, *, needed: bool = True) -> Trait:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return Trait(names[0], False, "not installed", remedy, needed)
    flag = "-version" if names[0] == "ffmpeg" else "--version"
    output = subprocess.run(  # noqa: S603 -- a program found on PATH, with a constant option
        [path, flag], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
    ).stdout
    return Trait(Path(path).name, True, " ".join(output.split()[:3]))


def _encoder(name: str, remedy: str, *, needed: bool = True) -> Trait:
    answers: list[Message] = []
    try_encoder(answers.append, name)
    (answer,) = answers
    assert isinstance(answer, Opened)
    return Trait(name, answer.works, "encodes" if answer.works else answer.reason, remedy, needed)


async def _create(settings: Settings, console: Console) -> None:
    nothing = True
    async for made in create_storage(settings):
        console.print(f"made {made}", markup=False, highlight=False)
        nothing = False
    if nothing:
        console.print("nothing to make: the stores are there")


def _stores(settings: Settings) -> list[Trait]:
    where = backends(settings)
    if settings.data.dir.exists():
        return asyncio.run(_check_stores(settings, where))
    with tempfile.TemporaryDirectory(prefix="headrace-doctor-") as directory:
        data = DataSettings(dir=Path(directory))
        return asyncio.run(_check_stores(settings.model_copy(update={"data": data}), where))


async def _check_stores(settings: Settings, where: dict[str, str]) -> list[Trait]:
    pages = _uploading_pages(settings.server)
    try:
        async with open_stores(settings) as stores:
            objects, catalog, jobs = stores.objects, stores.catalog, stores.jobs
            return [
                *await _check("objects", where, objects.check, partial(objects.traits, pages)),
                *await _check("catalog", where, catalog.check, catalog.traits),
                *await _check("jobs", where, jobs.check, jobs.traits),
            ]
    except Unavailable as error:
        return [Trait("stores", False, "cannot be opened", str(error))]


async def _check(
    store: str,
    where: dict[str, str],
    check: Callable[[], Awaitable[None]],
    traits: Callable[[], Awaitable[Sequence[Trait]]],
) -> list[Trait]:
    try:
        await check()
    except Unavailable as error:
        return [Trait(store, False, f"cannot be used: {where[store]}", str(error))]
    used = Trait(store, True, where[store])
    try:
        return [used, *await traits()]
    except Unavailable as error:  # a process may use it and not look at its settings
        return [used, Trait(f"settings of {store}", False, "unknown", str(error), needed=False)]


def _uploading_pages(server: ServerSettings) -> list[str]:
    own = httpx.URL(server.publicurl or "")
    return [*([f"{own.scheme}://{own.netloc.decode()}"] if own.host else []), *server.corsorigins]


def _clock(aws: AwsSettings) -> Iterator[Trait]:
    if aws.s3rawbucket is None:
        return
    endpoint = aws.s3endpoint or f"https://s3.{aws.region}.amazonaws.com"
    try:
        answer = httpx.head(endpoint, timeout=CLOCK_TIMEOUT_S)
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except (httpx.TransportError, ValueError) as error:
        yield Trait("clock", False, f"{endpoint} does not tell the time", str(error), needed=False)
        return
    skew_s = time.time() - date.timestamp()
    found = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} S3's"
    remedy = "let chrony or systemd-timesyncd set this machine's clock"
    yield Trait("clock", abs(skew_s) <= MAX_SKEW_S, found, remedy, needed=False)


def _disk(directory: Path) -> Trait:
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GiB free at {there.absolute()}"
    remedy = f"{MIN_FREE_BYTES / GIB:.0f} GiB are little already: make room, or set STREAM_DATA_DIR"
    return Trait("disk", free >= MIN_FREE_BYTES, found, remedy, needed=False)
