"""`headrace up`: the whole service from one command, and nothing left of it afterwards."""

import asyncio
import errno
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from cli.child import Child
from cli.client import Api, ApiError
from cli.config import base_url, load_client
from cli.process import try_port
from cli.upload import upload, watch
from media.settings import Settings
from stores.wiring import backends, private_redis, wait_for_stores

log = structlog.stdlib.get_logger(__name__)

START_POLL_S = 0.05
READY_POLL_S = 1.0
GRACE_S = 15.0  # for children to end by themselves, on top of what a worker takes to drain


class CannotStart(Exception):
    """Something outside stands in the way; the message says what, and what to do."""


def up(settings: Settings, clip: Path | None, title: str) -> None:
    """Run the service until SIGINT or SIGTERM. Raises CannotStart, GaveUp, Unavailable."""
    if clip is not None and not os.access(clip, os.R_OK):
        raise CannotStart(f"{clip}: there is no such file, or it cannot be read")
    with _sole_owner(settings.data.dir):
        _check_address(settings.server.host, settings.server.port)
        asyncio.run(Supervisor(settings).run(clip, title))


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._console = Console()
        colour = "--colour" if sys.stderr.isatty() else "--no-colour"
        common = (colour, "--supervisor", str(os.getpid()))
        self._children = (Child("server", ("serve", *common)), Child("worker", ("worker", *common)))
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self, clip: Path | None, title: str) -> None:
        await wait_for_stores(self._settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        async with private_redis(self._settings):
            children = [asyncio.create_task(child.run()) for child in self._children]
            guide = asyncio.create_task(self._guide(clip, title))
            try:
                await asyncio.wait([*children, guide], return_when=asyncio.FIRST_COMPLETED)
            finally:
                guide.cancel()
                await self._end(children)
        for task in (*children, guide):
            if not task.cancelled():
                task.result()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        else:
            self._say("stopping; Ctrl-C again stops at once")
            self._stop.set()

    async def _guide(self, clip: Path | None, title: str) -> None:
        """Tell where to go, send the clip, then wait for the signal to stop."""
        stop = asyncio.create_task(self._stop.wait())
        start = asyncio.create_task(self._start(clip, title))
        try:
            await asyncio.wait([stop, start], return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
            await stop
        finally:
            start.cancel()

    async def _start(self, clip: Path | None, title: str) -> None:
        url = base_url(self._settings)
        async with Api(load_client(url, None)) as api:
            await self._until_ready(api)
            self._welcome(url)
            if clip is None:
                return
            try:
                media = await upload(api, clip, {"title": title}, self._console)
                await watch(api, media, self._console)
                self._say(f"play it: {await api.playback_url(media['id'])}")
            except ApiError as error:
                self._say(f"{clip}: {error}")

    async def _until_ready(self, api: Api) -> None:
        told = None
        while (missing := await api.missing()) != "":
            if missing is None:
                await asyncio.sleep(START_POLL_S)
                continue
            if missing != told:
                log.warning("not ready yet", answer=missing)
                told = missing
            await asyncio.sleep(READY_POLL_S)

    async def _end(self, children: Sequence[asyncio.Task[None]]) -> None:
        for child in self._children:
            child.stop()
        ended = asyncio.ensure_future(asyncio.wait(children))
        stop_now = asyncio.create_task(self._stop_now.wait())
        grace_s = self._settings.worker.draintimeout.total_seconds() + GRACE_S
        await asyncio.wait([ended, stop_now], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        stop_now.cancel()
        if not ended.done():
            for child in self._children:
                child.kill()
        await ended

    def _welcome(self, url: str) -> None:
        stores = backends(self._settings).items()
        rows = (("page", url), ("API", f"{url}/openapi.json"), *stores)
        if not self._console.is_terminal:
            self._say("Headrace is running")
            for name, value in rows:
                self._say(f"{name}: {value}")
            return
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(f"[bold]{name}", value)
        self._console.print(
            Panel.fit(
                table, title="Headrace is running", subtitle="Ctrl-C stops it", padding=(1, 2)
            )
        )

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _sole_owner(directory: Path) -> Iterator[None]:
    """The data directory itself is locked, so that no lock file is left."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotStart(f"data.dir {directory} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotStart(
            f"another `headrace up` runs on {directory.absolute()}; stop it, or choose another "
            "directory with STREAM_DATA_DIR"
        ) from error
    else:
        yield
    finally:
        os.close(descriptor)


def _check_address(host: str, port: int) -> None:
    try:
        try_port(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
        raise CannotStart(
            f"port {port} on {host} is in use; stop what listens there, or choose another "
            "with STREAM_SERVER_PORT"
        ) from error
