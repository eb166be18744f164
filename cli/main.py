"""The `headrace` command.

Each subcommand that runs a part of the service imports it when it is called: codecs and servers
take time to load, and `--help` and the client commands need none of them.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cli import operate, use
from cli.child import GaveUp
from cli.commandline import RUN, Colour, Supervisor, fail, refuse, start
from cli.config import ConfigError
from stores.errors import Unavailable

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


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"headrace {version('headrace')}")
        raise typer.Exit


@app.callback()
def headrace(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell it and exit."),
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=RUN)
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

    settings = start()
    try:
        supervisor.up(settings, clip, title)
    except (supervisor.CannotStart, GaveUp, Unavailable) as error:
        fail(str(error))


@app.command(rich_help_panel=RUN)
def api(
    page: Annotated[bool, typer.Option("--page", help="Also serve the player page.")] = False,
    supervisor: Supervisor = None,
    colour: Colour = None,
) -> None:
    """Run the control API alone, in the foreground."""
    _serve("api-and-page" if page else "api", supervisor, colour)


@app.command(rich_help_panel=RUN)
def origin(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run the origin alone, in the foreground: what a CDN pulls playlists and segments from."""
    _serve("origin", supervisor, colour)


@app.command(hidden=True)
def serve(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run the API, the origin and the page in one process, as `up` does."""
    _serve("all", supervisor, colour)


@app.command(rich_help_panel=RUN)
def worker(supervisor: Supervisor = None, colour: Colour = None) -> None:
    """Run a worker alone, in the foreground: it encodes what has been uploaded.

    Any number of workers share the work. SIGTERM lets it finish or hand back what it holds.
    """
    from cli import worker

    settings = start(supervisor, colour)
    try:
        worker.work(settings)
    except Unavailable as error:
        fail(str(error))


def _serve(role: str, supervisor: int | None, colour: bool | None) -> None:
    from cli import serve

    settings = start(supervisor, colour)
    try:
        serve.serve(serve.Role(role), settings, colour=colour)
    except ConfigError as error:
        refuse(error)
    except Unavailable as error:
        fail(str(error))


app.add_typer(use.app)
app.add_typer(operate.app)

if __name__ == "__main__":
    app()
