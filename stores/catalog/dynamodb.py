"""The catalog in a DynamoDB table, used by any number of machines; `dynamodb_items` draws it.

A record is read, its change decided, and written on the condition that it still is the one that
was read, together with the event that tells of it. Who loses reads again. Reads are consistent;
only which titles a list has may be late by moments.

Requests: a change of a record takes 2, a commit 1, a page of a list 2. What a title has
committed is read by the megabyte: 10 requests for all of a ten-hour title, 1 for what is new.
"""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from media.asset import Asset, Status
from media.commit import Commit, task_name
from media.event import Event
from media.plan import Plan
from media.settings import AwsSettings
from stores.catalog import changes as decide
from stores.catalog import cursor as cursors
from stores.catalog import dynamodb_events as beside
from stores.catalog import dynamodb_storage as storage
from stores.catalog.base import Catalog, Delivery, Page
from stores.catalog.changes import Write
from stores.catalog.dynamodb_actions import (
    ABSENT,
    check_present,
    check_unchanged,
    delete,
    put,
    write_record,
)
from stores.catalog.dynamodb_client import TRIES, pauses
from stores.catalog.dynamodb_items import (
    Item,
    asset_key,
    asset_of,
    commit_item,
    commit_of,
    commit_sk,
    gate_key,
    key_of,
    plan_item,
    plan_key,
    plan_of,
    status_queue,
    text,
    title_pk,
    user_sort,
)
from stores.catalog.dynamodb_table import MAX_ACTIONS, ConditionFailed, Query, Table, batches
from stores.errors import Conflict, NotFound, Throttled
from stores.trait import Trait

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef as Action


class DynamoCatalog(Catalog):
    def __init__(self, table: str, aws: AwsSettings, *, webhooks: bool = False) -> None:
        """With `webhooks` events are also put by for delivery, which somebody has to do then."""
        self._table = Table(table, aws)
        self._name = table
        self._webhooks = webhooks

    async def create(self, asset: Asset) -> None:
        write = decide.created(asset, now_ms=_now_ms())
        try:
            await self._table.write(*self._record(None, write))
        except ConditionFailed as exc:
            how = "exists already" if 0 in exc.found else "has existed before"
            raise Conflict(f"media {asset.id} {how}") from exc

    async def get(self, media_id: str) -> Asset:
        item = await self._table.get(asset_key(media_id))
        if item is None:
            raise NotFound(f"media {media_id}")
        return asset_of(item)

    async def list_by_user(self, user_id: str, *, limit: int, cursor: str | None) -> Page:
        if limit < 1:
            raise ValueError(f"a page holds at least one title, got a limit of {limit}")
        before = cursors.NEWEST if cursor is None else cursors.decode(cursor)
        query = Query(
            "user_id = :user_id AND user_sort < :before",
            {":user_id": text(user_id), ":before": text(user_sort(*before))},
            index="user",
            descending=True,
            limit=limit + 1,
        )
        found: list[Asset] = []
        async for page in self._table.pages(query):
            found += sorted(await self._existing(page), key=_age, reverse=True)
            if len(found) > limit:
                break
        items = tuple(found[:limit])
        return Page(items, cursors.encode(items[-1]) if len(found) > limit else None)

    async def list_by_status(self, statuses: Sequence[Status]) -> tuple[Asset, ...]:
        found: dict[str, Asset] = {}
        for status in set(statuses):
            values = {":queue": text(status_queue(status))}
            async for page in self._table.pages(Query("work_queue = :queue", values, index="work")):
                found |= {asset.id: asset for asset in await self._fresh(page)}
        return tuple(sorted((a for a in found.values() if a.status in statuses), key=_age))

    async def transition(
        self,
        media_id: str,
        to: Status,
        changes: Mapping[str, object] | None = None,
        *,
        seen: Asset | None = None,
    ) -> Asset:
        def move(asset: Asset) -> Write:
            decide.check_unchanged(asset, seen)
            return decide.moved(asset, to, changes or {}, now_ms=_now_ms())

        return await self._change(media_id, move)

    async def update(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        def update(asset: Asset) -> Write:
            return decide.updated(asset, changes, now_ms=_now_ms())

        return await self._change(media_id, update)

    async def events(self, media_id: str, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
        return await beside.read_events(self._table, media_id, after, limit)

    async def claim_deliveries(
        self, now_ms: int, *, lease_ms: int, limit: int
    ) -> tuple[Delivery, ...]:
        return await beside.claim_deliveries(self._table, now_ms, lease_ms, limit)

    async def settle_delivery(
        self, delivery: Delivery, *, delivered: int, attempts: int, due_at_ms: int
    ) -> None:
        await beside.settle_delivery(self._table, delivery, delivered, attempts, due_at_ms)

    async def claim_key(self, user_id: str, key: str, media_id: str) -> str:
        return await beside.claim_key(self._table, user_id, key, media_id)

    async def release_key(self, user_id: str, key: str, media_id: str) -> None:
        await beside.release_key(self._table, user_id, key, media_id)

    async def put_plan(self, media_id: str, plan: Plan) -> Plan:
        for pause in pauses():
            await asyncio.sleep(pause)
            asset = await self.get(media_id)
            first = await self.get_plan(media_id)
            if first is not None:
                return first
            write = decide.updated(asset, {"version": plan.version}, now_ms=_now_ms())
            added = put(self._name, plan_item(media_id, plan), ABSENT)
            if await self._written(asset, write, added):
                return plan
        raise self._crowded(media_id)

    async def get_plan(self, media_id: str) -> Plan | None:
        item = await self._table.get(plan_key(media_id))
        return None if item is None else plan_of(item)

    async def commit(self, media_id: str, version: str, commit: Commit) -> bool:
        gate = check_present(self._name, gate_key(media_id, commit.task))
        try:
            await self._table.write(
                gate, put(self._name, commit_item(media_id, version, commit), ABSENT)
            )
        except ConditionFailed:
            return False
        return True

    async def commits(
        self, media_id: str, version: str, *, kind: str = "", start: int = 0
    ) -> tuple[Commit, ...]:
        first, end = (task_name(kind, start), f"{kind}.") if kind else ("", "~")
        values = {
            ":pk": text(title_pk(media_id)),
            ":first": text(commit_sk(version, first)),
            ":end": text(commit_sk(version, end)),
        }
        found: list[Commit] = []
        async for page in self._table.pages(
            Query("pk = :pk AND sk BETWEEN :first AND :end", values)
        ):
            found += map(commit_of, page)
        return tuple(found)

    async def forget_plan(self, media_id: str) -> None:
        """Each batch goes only while the title is as it was found: somebody else who retries it
        at the same time may have let workers commit anew."""
        for pause in pauses():
            await asyncio.sleep(pause)
            asset = await self.get(media_id)
            write = decide.unplanned(asset, now_ms=_now_ms())
            try:
                await self._delete_commits(asset)
            except ConditionFailed:
                continue
            if await self._written(asset, write, delete(self._name, plan_key(media_id))):
                return
        raise self._crowded(media_id)

    async def remove(self, media_id: str) -> None:
        """The record goes last: whoever finds it goes on where another has died."""
        try:
            await self.transition(media_id, Status.DELETING)
        except NotFound:
            return
        except Conflict:
            pass  # it is being deleted
        record = asset_key(media_id)
        query = Query("pk = :pk", {":pk": text(title_pk(media_id))}, keys_only=True)
        async for page in self._table.pages(query):
            await self._table.delete_many([key for key in map(key_of, page) if key != record])
        await self._table.delete_many([record])

    async def sweep(self) -> None:
        """DynamoDB drops what has expired by itself."""

    async def create_storage(self) -> Sequence[str]:
        return await storage.create(self._table)

    async def traits(self) -> Sequence[Trait]:
        return [trait async for trait in storage.traits(self._table)]

    async def check(self) -> None:
        await storage.check(self._table)

    async def close(self) -> None:
        await self._table.close()

    async def _change(self, media_id: str, decision: Callable[[Asset], Write]) -> Asset:
        for pause in pauses():
            await asyncio.sleep(pause)
            before = await self.get(media_id)
            write = decision(before)
            if await self._written(before, write):
                return write.asset
        raise self._crowded(media_id)

    async def _written(self, before: Asset, write: Write, *more: Action) -> bool:
        """False if the record is not the one that was read any more."""
        try:
            await self._table.write(*self._record(before, write), *more)
        except ConditionFailed:
            return False
        return True

    def _record(self, before: Asset | None, write: Write) -> list[Action]:
        return write_record(self._name, before, write, webhooks=self._webhooks)

    async def _delete_commits(self, asset: Asset) -> None:
        values = {":pk": text(title_pk(asset.id)), ":commit": text("commit#")}
        query = Query("pk = :pk AND begins_with(sk, :commit)", values, keys_only=True)
        unchanged = check_unchanged(self._name, asset_key(asset.id), asset)
        async for page in self._table.pages(query):
            for batch in batches(page, MAX_ACTIONS - 1):
                gone = [delete(self._name, key_of(item)) for item in batch]
                await self._table.write(unchanged, *gone)

    async def _fresh(self, found: Sequence[Item]) -> list[Asset]:
        """The records of what an index has: it may be late, they are not."""
        return [asset_of(item) for item in await self._table.get_many(list(map(key_of, found)))]

    async def _existing(self, found: Sequence[Item]) -> list[Asset]:
        return [a for a in await self._fresh(found) if a.status is not Status.DELETING]

    def _crowded(self, media_id: str) -> Throttled:
        return Throttled(f"media {media_id} is written by too many at once: {TRIES} tries lost")


def _age(asset: Asset) -> tuple[int, str]:
    return asset.created_at_ms, asset.id


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
