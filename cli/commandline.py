"""What the subcommands have in common: their options, how they start and how they fail."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from cli.client import Api, ApiError
from cli.config import ConfigError, load_client, load_settings
from cli.logs import configure_logging
from cli.process import MISCONFIGURED
from media.settings import Settings
from stores.processes import die_with_parent

FAILED = 1
INTERRUPTED = 128 + 2  # as the shell reports SIGINT

RUN = "Run the service"
USE = "Use the service"
OPERATE = "Look after the service"

T = TypeVar("T")

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


def start(supervisor: int | None = None, colour: bool | None = None) -> Settings:
    """For what runs until it is stopped."""
    if supervisor is not None:
        die_with_parent(supervisor)
    settings = read_settings()
    configure_logging(settings.log, colour=colour)
    return settings


def read_settings() -> Settings:
    try:
        return load_settings()
    except ConfigError as error:
        refuse(error)


def call(request: Callable[[Api], Coroutine[Any, Any, T]], url: str | None, user: str | None) -> T:
    async def called() -> T:
        async with Api(load_client(url, user)) as api:
            return await request(api)

    try:
        return asyncio.run(called())
    except ConfigError as error:
        refuse(error)
    except ApiError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("\nstopped; what was uploaded whole is encoded all the same", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def refuse(error: ConfigError) -> NoReturn:
    print("The configuration cannot be used:", file=sys.stderr)
    for mistake in error.mistakes:
        print(f"  {mistake}", file=sys.stderr)
    raise typer.Exit(MISCONFIGURED) from error


def fail(message: str) -> NoReturn:
    print(f"headrace: {message}", file=sys.stderr)
    raise typer.Exit(FAILED)
