"""The requests to one DynamoDB table.

Every write is a transaction, also of a single item: its token makes it happen once however often
the client has to send it, so that an answer that was lost is no riddle afterwards.
"""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import ClientError

from media.settings import AwsSettings
from stores.catalog.dynamodb_client import TRIES, open_client, pauses, translated
from stores.catalog.dynamodb_items import Item
from stores.errors import Throttled

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        QueryInputTypeDef,
        TransactWriteItemTypeDef,
    )

T = TypeVar("T")

MAX_ACTIONS = 100  # in a transaction
MAX_GET = 100
MAX_DELETE = 25
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class ConditionFailed(Exception):
    """A transaction wrote nothing. `found` has, by the position of each action whose condition
    did not hold, the item that is there; empty if there is none."""

    def __init__(self, found: Mapping[int, Item]) -> None:
        super().__init__(f"the conditions of actions {sorted(found)} did not hold")
        self.found = found


@dataclass(frozen=True, slots=True)
class Query:
    condition: str
    values: Item
    index: str | None = None  # then what it finds may be late
    descending: bool = False
    limit: int | None = None  # of a page
    keys_only: bool = False


class Table:
    def __init__(self, name: str, aws: AwsSettings) -> None:
        self.name = name
        self._aws = aws
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._client: DynamoDBClient | None = None

    async def client(self) -> DynamoDBClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._stack.enter_async_context(open_client(self._aws))
        return self._client

    async def close(self) -> None:
        async with self._opening:
            self._client = None
            await self._stack.aclose()

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.name)

    async def get(self, key: Item) -> Item | None:
        with self.translated():
            client = await self.client()
            answer = await client.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        return answer.get("Item")

    async def pages(self, query: Query) -> AsyncIterator[list[Item]]:
        request: QueryInputTypeDef = {
            "TableName": self.name,
            "KeyConditionExpression": query.condition,
            "ExpressionAttributeValues": query.values,
            "ScanIndexForward": not query.descending,
        }
        if query.index is None:
            request["ConsistentRead"] = True
        else:
            request["IndexName"] = query.index
        if query.limit is not None:
            request["Limit"] = query.limit
        if query.keys_only:
            request["ProjectionExpression"] = "pk, sk"
        while True:
            with self.translated():
                client = await self.client()
                answer = await client.query(**request)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def get_many(self, keys: Sequence[Item]) -> list[Item]:
        """Those that exist, in any order."""
        found: list[Item] = []

        async def get(waiting: list[Item]) -> list[Item]:
            client = await self.client()
            answer = await client.batch_get_item(
                RequestItems={self.name: {"Keys": waiting, "ConsistentRead": True}}
            )
            found.extend(answer["Responses"].get(self.name, ()))
            return list(answer["UnprocessedKeys"].get(self.name, {"Keys": ()})["Keys"])

        for batch in batches(keys, MAX_GET):
            await self._repeat(get, batch)
        return found

    async def delete_many(self, keys: Sequence[Item]) -> None:
        """One batch after the other: a title's items are in one partition, which would only
        throttle parallel ones."""

        async def delete(waiting: list[Item]) -> list[Item]:
            client = await self.client()
            answer = await client.batch_write_item(
                RequestItems={self.name: [{"DeleteRequest": {"Key": key}} for key in waiting]}
            )
            undone = answer["UnprocessedItems"].get(self.name, ())
            return [request["DeleteRequest"]["Key"] for request in undone]

        for batch in batches(keys, MAX_DELETE):
            await self._repeat(delete, batch)

    async def write(self, *actions: TransactWriteItemTypeDef) -> None:
        """All or nothing. Raises ConditionFailed."""
        for pause in pauses():
            await asyncio.sleep(pause)
            try:
                await self._write_once(actions)
            except ClientError as exc:
                if not _is_passing(exc):
                    raise
            else:
                return
        raise Throttled(
            f"catalog table {self.name}: others were writing the same items at each of "
            f"{TRIES} tries"
        )

    async def _write_once(self, actions: Sequence[TransactWriteItemTypeDef]) -> None:
        try:
            with self.translated():
                client = await self.client()
                await client.transact_write_items(
                    TransactItems=actions, ClientRequestToken=uuid.uuid4().hex
                )
        except ClientError as exc:
            reasons = exc.response.get("CancellationReasons", ())
            found = {
                number: cast("Item", reason.get("Item", {}))
                for number, reason in enumerate(reasons)
                if reason.get("Code") == "ConditionalCheckFailed"
            }
            if found:
                raise ConditionFailed(found) from exc
            raise

    async def _repeat(self, ask: Callable[[list[T]], Awaitable[list[T]]], waiting: list[T]) -> None:
        """`ask` returns what the service has left undone."""
        for pause in pauses():
            await asyncio.sleep(pause)
            with self.translated():
                waiting = await ask(waiting)
            if not waiting:
                return
        raise Throttled(
            f"catalog table {self.name}: {len(waiting)} items of a batch were left undone at each "
            f"of {TRIES} tries"
        )


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _is_passing(exc: ClientError) -> bool:
    """Nothing was written because of others, not because of what was to be written."""
    return any(
        reason.get("Code") in _PASSING for reason in exc.response.get("CancellationReasons", ())
    )
