"""How DynamoDB is asked, and what its errors mean in the words of a store.

Credentials come from where every AWS client looks: environment, profile, role.
"""

from __future__ import annotations  # names of stubs, which are not installed in production

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
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

from media.settings import AwsSettings
from stores.errors import Denied, StoreError, Throttled, TimedOut, Unavailable

if TYPE_CHECKING:
    from aiobotocore.session import ClientCreatorContext
    from types_aiobotocore_dynamodb import DynamoDBClient

CONNECT_S = 3
SILENCE_S = 5  # DynamoDB answers within tens of milliseconds, or tells to slow down
ATTEMPTS = 5  # with jitter, and a budget that all operations share: botocore's standard mode
CONNECTIONS = 64
TRIES = 12  # of a step that others were in the way of: 3 s on the average
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    ConfigNotFound,
    SSOError,
)
_DENIED = frozenset(
    {
        *("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"),
        *("IncompleteSignatureException", "ExpiredTokenException", "NotAuthorized"),
        *("MissingAuthenticationTokenException", "InvalidClientTokenId", "OptInRequired"),
    }
)
_THROTTLED = frozenset(
    {
        *("ProvisionedThroughputExceededException", "ThrottlingException"),
        *("RequestLimitExceeded", "TransactionInProgressException", "LimitExceededException"),
    }
)


def open_client(aws: AwsSettings) -> ClientCreatorContext[DynamoDBClient]:
    config = AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=SILENCE_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return get_session().create_client(
        "dynamodb", region_name=aws.region, endpoint_url=aws.dynamodbendpoint, config=config
    )


def pauses() -> Iterator[float]:
    """Seconds to wait before each try, none before the first: longer and longer with full
    jitter, or those who were in each other's way are so again."""
    yield 0
    for number in range(TRIES - 1):
        longest_s = min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)
        yield random.uniform(0, longest_s)  # noqa: S311 -- nobody gains by guessing it


def code_of(exc: ClientError) -> str:
    return exc.response.get("Error", {}).get("Code", "")


@contextmanager
def translated(table: str) -> Iterator[None]:
    """What is the caller's to understand (a condition that did not hold), or a mistake of ours,
    goes through as it is."""
    where = f"catalog table {table}"
    try:
        yield
    except ClientError as exc:
        error = _store_error(exc, where)
        if error is None:
            raise
        raise error from exc
    except (ConnectTimeoutError, ReadTimeoutError) as exc:
        raise TimedOut(
            f"{where}: DynamoDB did not answer in time; is its endpoint reachable?"
        ) from exc
    except _NO_CREDENTIALS as exc:
        raise Denied(
            f"{where}: no credentials for DynamoDB; give this process working ones: "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role"
        ) from exc
    except ParamValidationError:
        raise
    except BotoCoreError as exc:
        raise Unavailable(f"{where}: DynamoDB cannot be reached ({exc})") from exc


def _store_error(exc: ClientError, where: str) -> StoreError | None:
    code = code_of(exc)
    if code == "ResourceNotFoundException":
        return Unavailable(f"{where} does not exist; `headrace doctor --create` makes it")
    if code in _DENIED:
        return Denied(f"{where}: {exc}; give this process credentials with the rights it needs")
    if code in _THROTTLED:
        return Throttled(f"{where}: {exc}")
    if exc.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return Unavailable(f"{where}: {exc}")
    return None
