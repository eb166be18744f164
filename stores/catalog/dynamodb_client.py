"""How DynamoDB is asked, and what its errors mean in the words of a store."""

from __future__ import annotations  # names of stubs, which are not installed in production

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from media.settings import AwsSettings
from stores.aws import client_config, code_of, open_session, reaching
from stores.errors import Denied, StoreError, Throttled, Unavailable

if TYPE_CHECKING:
    from aiobotocore.session import ClientCreatorContext
    from types_aiobotocore_dynamodb import DynamoDBClient

CONNECT_S = 3
SILENCE_S = 5  # DynamoDB answers within tens of milliseconds, or tells to slow down
ATTEMPTS = 5
CONNECTIONS = 64
TRIES = 12  # of a step that others were in the way of: 3 s on the average
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0

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
    config = client_config(
        connect_s=CONNECT_S, silence_s=SILENCE_S, attempts=ATTEMPTS, connections=CONNECTIONS
    )
    return open_session().create_client(
        "dynamodb", region_name=aws.region, endpoint_url=aws.dynamodbendpoint, config=config
    )


def pauses() -> Iterator[float]:
    """Seconds to wait before each try, none before the first: longer and longer with full
    jitter, or those who were in each other's way are so again."""
    yield 0
    for number in range(TRIES - 1):
        longest_s = min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)
        yield random.uniform(0, longest_s)  # noqa: S311 -- nobody gains by guessing it


@contextmanager
def translated(table: str) -> Iterator[None]:
    """What is the caller's to understand (a condition that did not hold), or a mistake of ours,
    goes through as it is."""
    where = f"catalog table {table}"
    with reaching("DynamoDB", where):
        try:
            yield
        except ClientError as exc:
            error = _store_error(exc, where)
            if error is None:
                raise
            raise error from exc


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
