"""Sends a file and follows its encoding, with progress bars on standard error."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from uuid import uuid4

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cli.client import Api, ApiError, Interrupted, Media

POLL_S = 0.25
RETRIES = 2
PAUSE_S = 1


async def upload(api: Api, path: Path, fields: Mapping[str, str], console: Console) -> Media:
    """Sends it again if the connection breaks; that makes no second title."""
    key = str(uuid4())
    try:
        file = path.open("rb")
    except OSError as error:
        raise ApiError(f"{path}: {error.strerror}") from error
    with file, _bytes_progress(console) as progress:
        counted = progress.wrap_file(
            file,
            total=os.fstat(file.fileno()).st_size,
            description=f"uploading {_plain(path.name)}",
        )
        for _ in range(RETRIES):
            try:
                return await api.upload(path, counted, fields, key)
            except Interrupted as error:
                _say(console, f"{error}; sending {path.name} again")
                await asyncio.sleep(PAUSE_S)
                counted.seek(0)
        return await api.upload(path, counted, fields, key)


async def watch(api: Api, media: Media, console: Console) -> None:
    """Follow a title until it is ready. Raises ApiError if its encoding fails."""
    started_s = monotonic()
    announced = False
    with _share_progress(console) as progress:
        task = progress.add_task(f"encoding {_plain(media['title'])}", total=1.0)
        while media["status"] not in ("ready", "failed"):
            await asyncio.sleep(POLL_S)
            media = await api.media(media["id"])
            progress.update(task, completed=media["progress"])
            if media["playable"] and not announced:
                announced = True
                url = await api.playback_url(media["id"])
                _say(console, f"playable after {monotonic() - started_s:.1f} s: {url}")
    if media["error"] is not None:
        hint = "; trying again may help" if media["error"]["retryable"] else ""
        raise ApiError(f"encoding {media['title']!r} failed: {media['error']['message']}{hint}")
    _say(console, f"ready after {monotonic() - started_s:.1f} s")


def _bytes_progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _share_progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _plain(text: str) -> str:
    """Rich would take square brackets for markup."""
    return text.replace("[", r"\[")


def _say(console: Console, text: str) -> None:
    """A line that is neither wrapped nor coloured: it may hold a URL to copy."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
