"""The subcommands that open the stores themselves, for whoever looks after an installation."""

from typing import Annotated

import typer
from rich.console import Console

from cli.commandline import FAILED, OPERATE, fail, read_settings
from stores.errors import StoreError, Unavailable

app = typer.Typer(rich_markup_mode="rich")


@app.command(rich_help_panel=OPERATE)
def doctor(
    create: Annotated[
        bool, typer.Option("--create", help="First make the buckets and tables that are missing.")
    ] = False,
    titles: Annotated[
        bool, typer.Option("--titles", help="Also look for the package of every ready title.")
    ] = False,
) -> None:
    """Tell what is installed, which encoders open, which stores answer and how they are set up,
    and whether the CDN opens what this service signs.

    Exits with 1 when something is missing that the service cannot do without. With --create it
    makes what a new installation lacks and changes nothing of what exists; a CDN that does not
    answer yet is no failure then.
    """
    from cli import doctor

    settings, console = read_settings(), Console()
    try:
        if create:
            doctor.create(settings, console)
    except StoreError as error:
        fail(str(error))
    if not doctor.examine(settings, console, new=create, titles=titles):
        raise typer.Exit(FAILED)


@app.command(rich_help_panel=OPERATE)
def jobs(
    limit: Annotated[
        int, typer.Option(min=0, max=1000, help="How many failed titles, newest first.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the queue: what waits and runs, which workers there are, which titles failed and why.

    Asks the job engine itself, so it works while the API is down. A failed title can be tried
    again with `headrace media retry`.
    """
    from cli import jobs

    try:
        jobs.show(read_settings(), limit, Console(), as_json=as_json)
    except Unavailable as error:
        fail(str(error))


@app.command(rich_help_panel=OPERATE)
def collect(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed.")
    ] = False,
) -> None:
    """Remove from the object store what no title needs and nobody is writing any more.

    Abandoned uploads, objects of titles that are gone, results that lost. The workers do the same
    once a day. Safe while everything runs.
    """
    from cli import collect

    try:
        collect.collect(read_settings(), Console(), dry_run=dry_run)
    except Unavailable as error:
        fail(str(error))
