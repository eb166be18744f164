"""The subcommands that open the stores themselves, for whoever looks after an installation."""

import typer
from rich.console import Console

from cli.commandline import FAILED, OPERATE, read_settings

app = typer.Typer(rich_markup_mode="rich")


@app.command(rich_help_panel=OPERATE)
def doctor() -> None:
    """Tell what is installed, which encoders open, which stores answer.

    Exits with 1 when something is missing that the service cannot do without.
    """
    from cli import doctor

    if not doctor.examine(read_settings(), Console()):
        raise typer.Exit(FAILED)
