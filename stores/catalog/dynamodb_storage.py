"""The table itself: what it has to look like, and making one."""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from stores.aws import code_of
from stores.catalog.dynamodb_items import EXPIRY
from stores.catalog.dynamodb_table import Table
from stores.errors import TimedOut, Unavailable
from stores.trait import Trait

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        KeySchemaElementTypeDef,
        TableDescriptionTypeDef,
    )

KEYS = ("pk", "sk")  # partition, sort
INDEXES = {"user": ("user_id", "user_sort"), "work": ("work_queue", "work_sort")}
USABLE = frozenset({"ACTIVE", "UPDATING"})
ACTIVE_TIMEOUT_S = 300
POLL_S = 0.5


async def check(table: Table) -> None:
    description = await _describe(table)
    status = description.get("TableStatus", "")
    if status not in USABLE:
        raise Unavailable(f"catalog table {table.name} is {status}; wait until it is ACTIVE")
    indexes = {
        index.get("IndexName"): _names(index.get("KeySchema", ()))
        for index in description.get("GlobalSecondaryIndexes", ())
    }
    if _names(description.get("KeySchema", ())) != KEYS or indexes != INDEXES:
        raise Unavailable(
            f"table {table.name} is no catalog of this version: its key has to be {KEYS}, its "
            f"indexes {INDEXES}; name another one in aws.dynamodbtable, which `headrace doctor "
            "--create` makes"
        )


async def create(table: Table) -> tuple[str, ...]:
    made = []
    if await _create(table):
        made.append(f"DynamoDB table {table.name}")
    await _until_active(table)
    await check(table)
    if await _enable_expiry(table):
        made.append(f"expiry of old events in table {table.name}")
    if await _enable_recovery(table):
        made.append(f"point-in-time recovery of table {table.name}")
    return tuple(made)


async def traits(table: Table) -> AsyncIterator[Trait]:
    remedy = "`headrace doctor --create` turns it on"
    expires = await _expires(table)
    yield Trait(f"expiry in {table.name}", expires, "on" if expires else "off", remedy, False)
    try:
        recovers = await _recovers(table)
    except ClientError as exc:
        if code_of(exc) == "UnknownOperationException":  # of another server than Amazon's
            return
        raise
    found = "every second of the last 35 days" if recovers else "off: there is no way back"
    yield Trait(f"recovery of {table.name}", recovers, found, remedy, False)


async def _describe(table: Table) -> TableDescriptionTypeDef:
    with table.translated():
        client = await table.client()
        return (await client.describe_table(TableName=table.name))["Table"]


async def _create(table: Table) -> bool:
    names = [*KEYS, *(name for index in INDEXES.values() for name in index)]
    client = await table.client()
    try:
        with table.translated():
            await client.create_table(
                TableName=table.name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
                KeySchema=_schema(KEYS),
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": name,
                        "KeySchema": _schema(keys),
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for name, keys in INDEXES.items()
                ],
            )
    except ClientError as exc:
        if code_of(exc) != "ResourceInUseException":
            raise
        return False  # it exists, or somebody else is making it
    return True


async def _until_active(table: Table) -> None:
    deadline = time.monotonic() + ACTIVE_TIMEOUT_S
    while (await _describe(table)).get("TableStatus") not in USABLE:
        if time.monotonic() > deadline:
            raise TimedOut(f"catalog table {table.name} is not ready after {ACTIVE_TIMEOUT_S} s")
        await asyncio.sleep(POLL_S)


async def _enable_expiry(table: Table) -> bool:
    if await _expires(table):
        return False
    client = await table.client()
    try:
        with table.translated():
            await client.update_time_to_live(
                TableName=table.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRY},
            )
    except ClientError as exc:
        if code_of(exc) == "ValidationException" and await _expires(table):
            return False  # somebody else was first
        raise
    return True


async def _expires(table: Table) -> bool:
    with table.translated():
        client = await table.client()
        answer = await client.describe_time_to_live(TableName=table.name)
    return answer["TimeToLiveDescription"].get("TimeToLiveStatus") in ("ENABLED", "ENABLING")


async def _enable_recovery(table: Table) -> bool:
    """A new table is not ready for it at once; other servers than Amazon's may not know it."""
    client = await table.client()
    deadline = time.monotonic() + ACTIVE_TIMEOUT_S
    while True:
        try:
            if await _recovers(table):
                return False
            with table.translated():
                await client.update_continuous_backups(
                    TableName=table.name,
                    PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
                )
        except ClientError as exc:
            if code_of(exc) == "UnknownOperationException":
                return False
            being_prepared = code_of(exc) == "ContinuousBackupsUnavailableException"
            if not being_prepared or time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_S)
        else:
            return True


async def _recovers(table: Table) -> bool:
    with table.translated():
        client = await table.client()
        answer = await client.describe_continuous_backups(TableName=table.name)
    recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return recovery.get("PointInTimeRecoveryStatus") == "ENABLED"


def _schema(names: tuple[str, str]) -> list[KeySchemaElementTypeDef]:
    partition, sort = names
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


def _names(schema: Iterable[KeySchemaElementTypeDef]) -> tuple[str, ...]:
    return tuple(element["AttributeName"] for element in schema)  # the partition key is first
