"""The subcommands that talk to a running service through its API."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import upload as uploading
from cli.client import Api, Media
from cli.commandline import USE, MediaId, Url, User, call
from media.asset import Priority

app = typer.Typer(rich_markup_mode="rich")
media_app = typer.Typer(no_args_is_help=True, help="List, look at, steer and remove titles.")
app.add_typer(media_app, name="media", rich_help_panel=USE)


@app.command(rich_help_panel=USE)
def upload(  # noqa: PLR0913 - each is an option
    file: Annotated[Path, typer.Argument(help="A video or audio file.")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is ready.")] = False,
    title: Annotated[str, typer.Option(help="Default: the file's name.")] = "",
    description: Annotated[str, typer.Option(help="Free text.")] = "",
    priority: Annotated[Priority, typer.Option(help="Whose work is begun first.")] = (
        Priority.NORMAL
    ),
    url: Url = None,
    user: User = None,
) -> None:
    """Upload a file; with --watch, follow its encoding and print its playback URL.

    Prints the new title's id, or with --watch the playback URL, on standard output. Should the
    connection break, the file is sent again, and makes one title all the same.

    Examples:

        headrace upload clip.mp4

        headrace upload clip.mp4 --watch --title "First light"

        headrace upload clip.mp4 --url https://media.example --user ada
    """

    async def send(api: Api) -> str:
        console = Console(stderr=True)
        fields = {"title": title, "description": description, "priority": priority}
        media = await uploading.upload(api, file, fields, console)
        if not watch:
            return media["id"]
        console.print(f"title {media['id']}", highlight=False)
        await uploading.watch(api, media, console)
        return await api.playback_url(media["id"])

    print(call(send, url, user))


@media_app.command("ls")
def media_ls(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    url: Url = None,
    user: User = None,
) -> None:
    """List titles, newest first."""

    async def newest(api: Api) -> list[Media]:
        found: list[Media] = []
        async for media in api.list_media():
            found.append(media)
            if len(found) == limit:
                break
        return found

    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    for heading in ("title", "type", "status", "length", "created"):
        table.add_column(heading, overflow="fold")
    for media in call(newest, url, user):
        created = media["created_at"][:19].replace("T", " ")
        row = (media["title"], media["type"], _status(media), _length(media), created)
        table.add_row(media["id"], *map(Text, row))  # Text: a title may look like markup
    Console().print(table)


@media_app.command("show")
def media_show(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Show one title as JSON: source, renditions, progress, and why it failed if it did."""
    Console().print_json(data=call(lambda api: api.media(media_id), url, user))


@media_app.command("rm")
def media_rm(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Remove a title for good: its work, its source, everything published."""
    with Console(stderr=True).status("removing"):
        call(lambda api: api.delete(media_id), url, user)


@media_app.command("retry")
def media_retry(
    media_id: MediaId,
    priority: Annotated[Priority | None, typer.Option(help="Default: as it was.")] = None,
    url: Url = None,
    user: User = None,
) -> None:
    """Encode a failed title again, from where it failed. Prints its status."""
    print(_status(call(lambda api: api.retry(media_id, priority), url, user)))


@media_app.command("priority")
def media_priority(
    media_id: MediaId,
    priority: Annotated[Priority, typer.Argument(help="Whose work is begun first.")],
    url: Url = None,
    user: User = None,
) -> None:
    """Move an unfinished title forward or back in the queue; what runs goes on."""
    call(lambda api: api.set_priority(media_id, priority), url, user)


@app.command(rich_help_panel=USE)
def playback(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Print a title's playback URL, to open in any HLS player.

    Example:

        mpv "$(headrace playback 0197f3)"
    """
    print(call(lambda api: api.playback_url(media_id), url, user))


def _status(media: Media) -> str:
    if media["status"] == "processing":
        return f"processing {media['progress']:.0%}{', playable' if media['playable'] else ''}"
    if media["status"] == "queued" and media["priority"] != Priority.NORMAL:
        return f"queued, {media['priority']}"
    return media["status"]


def _length(media: Media) -> str:
    if media["duration_s"] is None:
        return ""
    minutes, seconds = divmod(round(media["duration_s"]), 60)
    return f"{minutes}:{seconds:02d}"
