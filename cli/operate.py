"""The subcommands that open the stores themselves, for whoever looks after an installation."""

from typing import Annotated

import typer
from rich.console import Console

from cli.commandline import FAILED, OPERATE, fail, read_settings
from stores.errors import StoreError

app = typer.Typer(rich_markup_mode="rich")


@app.command(rich_help_panel=OPERATE)
def doctor(
    create: Annotated[
        bool, typer.Option("--create", help="First make the buckets and tables that are missing.")
    ] = False,
) -> None:
    """Tell what is installed, which encoders open, which stores answer.

    Exits with 1 when something is missing that the service cannot do without. With --create it
    makes what a new installation lacks and changes nothing of what exists.
    """
    from cli import doctor

    settings, console = read_settings(), Console()
    try:
        if create:
            doctor.create(settings, console)
    except StoreError as error:
        fail(str(error))
    if not doctor.examine(settings, console):
        raise typer.Exit(FAILED)
