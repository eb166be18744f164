"""The event log, its outbox to webhooks and idempotency keys, as far as they are read or settled.

Items that have expired count as gone: DynamoDB deletes them days later. An outbox lives as long
as its newest event. It is in the index `work` while something is due, or somebody has it in hand:
then `work_sort` is the end of the lease, which only ever grows and says whose claim it is.
"""

import time

from media.event import Event
from stores.catalog.base import KEY_KEPT_S, Delivery
from stores.catalog.dynamodb_actions import delete_if, put, update_if
from stores.catalog.dynamodb_items import (
    DELIVERIES,
    EXPIRY,
    Item,
    delivery_key,
    event_of,
    event_sk,
    events_pk,
    expiry_s,
    idempotency_key,
    key_of,
    media_id_of,
    number,
    number_of,
    padded,
    text,
    text_of,
)
from stores.catalog.dynamodb_table import ConditionFailed, Query, Table

LAST_EVENT = 10**10 - 1
HELD = "work_sort = :held"
CLAIMABLE_KEY = f"attribute_not_exists(pk) OR {EXPIRY} <= :now"


async def read_events(table: Table, media_id: str, after: int, limit: int) -> tuple[Event, ...]:
    values = {
        ":pk": text(events_pk(media_id)),
        ":first": text(event_sk(min(after + 1, LAST_EVENT))),
        ":last": text(event_sk(LAST_EVENT)),
    }
    query = Query("pk = :pk AND sk BETWEEN :first AND :last", values, limit=limit)
    found: list[Event] = []
    now_ms = _now_ms()
    async for page in table.pages(query):
        found += [event_of(item) for item in page if not _expired(item, now_ms)]
        if len(found) >= limit:
            break
    return tuple(found[:limit])


async def claim_deliveries(
    table: Table, now_ms: int, lease_ms: int, limit: int
) -> tuple[Delivery, ...]:
    values = {":queue": text(DELIVERIES), ":now": text(padded(now_ms))}
    query = Query("work_queue = :queue AND work_sort <= :now", values, index="work", limit=limit)
    claimed: list[Delivery] = []
    async for page in table.pages(query):
        items = await table.get_many([key_of(item) for item in page])
        due = [item for item in items if _due_ms(item) <= now_ms]  # the index may be late
        for item in sorted(due, key=_due_ms)[: limit - len(claimed)]:
            if await _claim(table, item, now_ms, now_ms + lease_ms):
                claimed.append(_delivery(item, now_ms + lease_ms))
        if len(claimed) >= limit:
            break
    return tuple(claimed)


async def settle_delivery(
    table: Table, claim: Delivery, delivered: int, attempts: int, due_at_ms: int
) -> None:
    key = delivery_key(claim.media_id)
    while (item := await table.get(key)) is not None and _due_ms(item) == claim.claimed_until_ms:
        values = {
            ":delivered": number(delivered),
            ":attempts": number(attempts),
            ":held": item["work_sort"],
            ":newest": item["newest"],
        }
        change = "SET delivered = :delivered, attempts = :attempts"
        if number_of(item, "newest") > delivered:
            values[":due"] = text(padded(due_at_ms))
            change += ", work_sort = :due"
        else:
            change += " REMOVE work_queue, work_sort"
        condition = f"{HELD} AND newest = :newest"
        try:
            await table.write(update_if(table.name, key, change, values, condition))
        except ConditionFailed:  # claimed by another, or there is one more event
            continue
        return


async def claim_key(table: Table, user_id: str, given: str, media_id: str) -> str:
    now_ms = _now_ms()
    item = {
        **idempotency_key(user_id, given),
        "media_id": text(media_id),
        EXPIRY: number(expiry_s(now_ms, KEY_KEPT_S)),
    }
    values = {":now": number(now_ms // 1000)}
    try:
        await table.write(put(table.name, item, CLAIMABLE_KEY, values))
    except ConditionFailed as exc:
        return text_of(exc.found[0], "media_id")
    return media_id


async def release_key(table: Table, user_id: str, given: str, media_id: str) -> None:
    key = idempotency_key(user_id, given)
    values = {":media_id": text(media_id)}
    try:
        await table.write(delete_if(table.name, key, "media_id = :media_id", values))
    except ConditionFailed:
        return  # it stands for another title, or for none


async def _claim(table: Table, item: Item, now_ms: int, until_ms: int) -> bool:
    key, values = key_of(item), {":held": item["work_sort"]}
    try:
        if _expired(item, now_ms):  # and its events
            values[":expiry"] = item[EXPIRY]  # a new event would have moved it
            condition = f"{HELD} AND {EXPIRY} = :expiry"
            await table.write(delete_if(table.name, key, condition, values))
            return False
        values[":until"] = text(padded(until_ms))
        await table.write(update_if(table.name, key, "SET work_sort = :until", values, HELD))
    except ConditionFailed:  # somebody else was first
        return False
    return True


def _delivery(item: Item, until_ms: int) -> Delivery:
    return Delivery(
        media_id=media_id_of(item),
        delivered=number_of(item, "delivered"),
        attempts=number_of(item, "attempts"),
        claimed_until_ms=until_ms,
    )


def _due_ms(item: Item) -> int:
    return int(text_of(item, "work_sort")) if "work_sort" in item else 2**63


def _expired(item: Item, now_ms: int) -> bool:
    return number_of(item, EXPIRY) <= now_ms // 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
