"""The `headrace` command.

Each subcommand that runs a part of the service imports it when it is called: codecs and servers
take time to load, and `--help` and the client commands need none of them.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.child import GaveUp
from cli.client import Api, ApiError, Media
from cli.config import ConfigError, load_client, load_settings
from cli.logs import configure_logging
from cli.process import MISCONFIGURED
from media.settings import Settings
from stores.errors import Unavailable
from stores.processes import die_with_parent

FAILED = 1
INTERRUPTED = 128 + 2  # as the shell reports SIGINT

T = TypeVar("T")

app = typer.Typer(
    name="headrace",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Upload video or audio, encode it into an adaptive ladder, feed a CDN with it.",
    epilog="Start with [bold]headrace up[/]; then open the page that it names, or "
    "[bold]headrace upload clip.mp4 --watch[/] in another terminal.",
)
media_app = typer.Typer(no_args_is_help=True, help="List, look at and remove titles.")
app.add_typer(media_app, name="media", rich_help_panel="Use the service")

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Where the service is. Default: $HEADRACE_URL, else the address in this directory's "
        "configuration.",
        show_default=False,
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        "--user", help="Whose titles. Default: $HEADRACE_USER, else local.", show_default=False
    ),
]
MediaId = Annotated[str, typer.Argument(metavar="ID", help="A title's id, as `media ls` shows it.")]
Supervisor = Annotated[int | None, typer.Option(hidden=True)]
Colour = Annotated[bool | None, typer.Option(hidden=True)]


@app.command(rich_help_panel="Run the service")
def up(
    clip: Annotated[
        Path | None, typer.Option("--upload", metavar="FILE", help="Also upload this clip.")
    ] = None,
    title: Annotated[str, typer.Option(help="The clip's title. Default: its file name.")] = "",
) -> None:
    """Run everything: page, API, origin, worker and stores, in one go.

    With no configuration at all it listens on http://127.0.0.1:8080 and keeps its data in ./var.
    Ctrl-C stops all of it; unfinished work goes on at the next start.

    Examples:

        headrace up

        headrace up --upload clip.mp4

        STREAM_SERVER_PORT=9000 STREAM_DATA_DIR=/srv/headrace headrace up
    """
    from cli import supervisor

    settings = _start()
    try:
        supervisor.up(settings, clip, title)
    except (supervisor.CannotStart, GaveUp, Unavailable) as error:
        _fail(str(error))


@app.command(rich_help_panel="Run the service")
def api(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run the control API alone, in the foreground."""
    _serve("api", supervisor, colour)


@app.command(rich_help_panel="Run the service")
def origin(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run the origin alone, in the foreground: what a CDN pulls playlists and segments from."""
    _serve("origin", supervisor, colour)


@app.command(hidden=True)
def serve(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run the API, the origin and the page in one process, as `up` does."""
    _serve("all", supervisor, colour)


@app.command(rich_help_panel="Run the service")
def worker(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run a worker alone, in the foreground: it encodes what has been uploaded.

    Any number of workers share the work. SIGTERM lets it finish or hand back what it holds.
    """
    from cli import worker

    settings = _start(supervisor, colour)
    try:
        worker.work(settings)
    except Unavailable as error:
        _fail(str(error))


@app.command(rich_help_panel="Use the service")
def upload(
    file: Annotated[Path, typer.Argument(help="A video or audio file.")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is ready.")] = False,
    title: Annotated[str, typer.Option(help="Default: the file's name.")] = "",
    description: Annotated[str, typer.Option(help="Free text.")] = "",
    url: Url = None,
    user: User = None,
) -> None:
    """Upload a file; with --watch, follow its encoding and print its playback URL.

    Prints the new title's id, or with --watch the playback URL, on standard output.

    Examples:

        headrace upload clip.mp4

        headrace upload clip.mp4 --watch --title "First light"

        headrace upload clip.mp4 --url https://media.example --user ada
    """
    from cli import upload

    async def send(api: Api) -> str:
        console = Console(stderr=True)
        media = await upload.upload(api, file, title, description, console)
        if not watch:
            return media["id"]
        console.print(f"title {media['id']}", highlight=False)
        await upload.watch(api, media, console)
        return await api.playback_url(media["id"])

    print(_call(send, url, user))


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
    for media in _call(newest, url, user):
        created = media["created_at"][:19].replace("T", " ")
        row = (media["title"], media["type"], _status(media), _length(media), created)
        table.add_row(media["id"], *map(Text, row))  # Text: a title may look like markup
    Console().print(table)


@media_app.command("show")
def media_show(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Show one title as JSON: source, renditions, progress, and why it failed if it did."""
    Console().print_json(data=_call(lambda api: api.media(media_id), url, user))


@media_app.command("rm")
def media_rm(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Remove a title for good: its work, its source, everything published."""
    with Console(stderr=True).status("removing"):
        _call(lambda api: api.delete(media_id), url, user)


@app.command(rich_help_panel="Use the service")
def playback(media_id: MediaId, url: Url = None, user: User = None) -> None:
    """Print a title's playback URL, to open in any HLS player.

    Example:

        mpv "$(headrace playback 0197f3)"
    """
    print(_call(lambda api: api.playback_url(media_id), url, user))


@app.command(rich_help_panel="Run the service")
def doctor() -> None:
    """Tell what is installed, which encoders open, which stores answer.

    Exits with 1 when something is missing that the service cannot do without.
    """
    from cli import doctor

    if not doctor.examine(_settings(), Console()):
        raise typer.Exit(FAILED)


def _serve(role: str, supervisor: int | None, colour: bool | None) -> None:
    from cli import serve

    settings = _start(supervisor, colour)
    try:
        serve.serve(serve.Role(role), settings, colour=colour)
    except ConfigError as error:
        _refuse(error)


def _start(supervisor: int | None = None, colour: bool | None = None) -> Settings:
    if supervisor is not None:
        die_with_parent(supervisor)
    settings = _settings()
    configure_logging(settings.log, colour=colour)
    return settings


def _settings() -> Settings:
    try:
        return load_settings()
    except ConfigError as error:
        _refuse(error)


def _refuse(error: ConfigError) -> NoReturn:
    print("The configuration cannot be used:", file=sys.stderr)
    for mistake in error.mistakes:
        print(f"  {mistake}", file=sys.stderr)
    raise typer.Exit(MISCONFIGURED) from error


def _fail(message: str) -> NoReturn:
    print(f"headrace: {message}", file=sys.stderr)
    raise typer.Exit(FAILED)


def _call(request: Callable[[Api], Coroutine[Any, Any, T]], url: str | None, user: str | None) -> T:
    async def called() -> T:
        async with Api(load_client(url, user)) as api:
            return await request(api)

    try:
        return asyncio.run(called())
    except ConfigError as error:
        _refuse(error)
    except ApiError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("\nstopped; what was uploaded whole is encoded all the same", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _status(media: Media) -> str:
    if media["status"] == "processing":
        return f"processing {media['progress']:.0%}{', playable' if media['playable'] else ''}"
    return media["status"]


def _length(media: Media) -> str:
    if media["duration_s"] is None:
        return ""
    minutes, seconds = divmod(round(media["duration_s"]), 60)
    return f"{minutes}:{seconds:02d}"


if __name__ == "__main__":
    app()
