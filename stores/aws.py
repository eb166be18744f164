"""What the clients of all AWS services share: how they ask, and what may keep them from an answer.

Credentials come from where every AWS client looks: environment, profile, role.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from aiohttp import ClientError as HttpError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOError,
)
from botocore.loaders import Loader

from stores.errors import Denied, TimedOut, Unavailable

MENDED_BY_CREDENTIALS = (
    "give this process working credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "a profile, or a role"
)
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    ConfigNotFound,
    SSOError,
)
_SAID_CHARACTERS = 300


def open_session() -> AioSession:
    session = get_session()
    session.register_component("data_loader", _models())
    return session


@cache
def _models() -> Loader:
    """What describes the services takes a while to read: once in a process."""
    return Loader()


def client_config(
    *, connect_s: float, silence_s: float, attempts: int, connections: int, **more: Any
) -> AioConfig:
    """Retries have jitter, and a budget that all operations of a client share: botocore's
    standard mode."""
    return AioConfig(
        connect_timeout=connect_s,
        read_timeout=silence_s,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        **more,
    )


@contextmanager
def reaching(service: str, where: str) -> Iterator[None]:
    """Raises Unavailable for what happens on the way. An answer, ClientError, is the caller's to
    understand; it and a mistake of ours go through as they are. `where` is told a person."""
    try:
        yield
    except (ClientError, ParamValidationError):
        raise
    except (TimeoutError, ConnectTimeoutError, ReadTimeoutError) as exc:
        raise TimedOut(
            f"{where}: {service} did not answer in time; is its endpoint reachable?"
        ) from exc
    except _NO_CREDENTIALS as exc:
        raise Denied(f"{where}: no credentials for {service}; {MENDED_BY_CREDENTIALS}") from exc
    except (BotoCoreError, HttpError, OSError) as exc:
        raise Unavailable(f"{where}: {service} cannot be reached ({_reason(exc)})") from exc


def code_of(exc: ClientError) -> str:
    return exc.response.get("Error", {}).get("Code", "")


def shortened(text: str) -> str:
    return "".join(filter(str.isprintable, text))[:_SAID_CHARACTERS]


def _reason(exc: Exception) -> str:
    """botocore's own texts leave out why a connection failed."""
    inner = exc.kwargs.get("error") if isinstance(exc, BotoCoreError) else None
    return shortened(str(inner or exc) or type(exc).__name__)
