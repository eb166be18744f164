"""The steps of DynamoDB transactions, and which of them a write of a record takes."""

from __future__ import annotations  # names of stubs, which are not installed in production

from typing import TYPE_CHECKING

from media.asset import Asset, Status
from media.event import Event
from stores.catalog.base import EVENTS_KEPT_S
from stores.catalog.changes import Write
from stores.catalog.dynamodb_items import (
    DELIVERIES,
    EXPIRY,
    Item,
    asset_item,
    delivery_key,
    event_item,
    expiry_s,
    gate_keys,
    number,
    padded,
    text,
)

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef as Action

ABSENT = "attribute_not_exists(pk)"
PRESENT = "attribute_exists(pk)"
UNCHANGED = "updated_at_ms = :seen"  # it grows with every write of a record

# Events that nobody was to be told of, because there were no webhooks then, count as delivered.
ADD_DELIVERY = f"""SET newest = :newest, {EXPIRY} = :expires_at, work_queue = :queue,
    work_sort = if_not_exists(work_sort, :due), attempts = if_not_exists(attempts, :none),
    delivered = if_not_exists(delivered, :before)"""


def put(table: str, item: Item, condition: str, values: Item | None = None) -> Action:
    action: Action = {
        "Put": {
            "TableName": table,
            "Item": item,
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    if values is not None:
        action["Put"]["ExpressionAttributeValues"] = values
    return action


def update(table: str, key: Item, expression: str, values: Item) -> Action:
    return {
        "Update": {
            "TableName": table,
            "Key": key,
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        }
    }


def update_if(table: str, key: Item, expression: str, values: Item, condition: str) -> Action:
    action = update(table, key, expression, values)
    action["Update"]["ConditionExpression"] = condition
    return action


def delete(table: str, key: Item) -> Action:
    return {"Delete": {"TableName": table, "Key": key}}


def delete_if(table: str, key: Item, condition: str, values: Item) -> Action:
    return {
        "Delete": {
            "TableName": table,
            "Key": key,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
    }


def check_present(table: str, key: Item) -> Action:
    return {
        "ConditionCheck": {"TableName": table, "Key": key, "ConditionExpression": PRESENT},
    }


def check_unchanged(table: str, key: Item, asset: Asset) -> Action:
    return {
        "ConditionCheck": {
            "TableName": table,
            "Key": key,
            "ConditionExpression": UNCHANGED,
            "ExpressionAttributeValues": {":seen": number(asset.updated_at_ms)},
        }
    }


def write_record(table: str, before: Asset | None, write: Write, *, webhooks: bool) -> list[Action]:
    """The record comes first, then its event."""
    item = asset_item(write.asset)
    if before is None:
        actions = [put(table, item, ABSENT)]
    else:
        seen = {":seen": number(before.updated_at_ms)}
        actions = [put(table, item, UNCHANGED, seen)]
    if write.event is not None:
        actions.append(put(table, event_item(write.event), ABSENT))
        if webhooks:
            actions.append(_add_delivery(table, write.event))
    return [*actions, *_gates(table, before, write.asset)]


def _add_delivery(table: str, event: Event) -> Action:
    values = {
        ":newest": number(event.number),
        ":before": number(event.number - 1),
        ":none": number(0),
        ":due": text(padded(event.at_ms)),
        ":queue": text(DELIVERIES),
        ":expires_at": number(expiry_s(event.at_ms, EVENTS_KEPT_S)),
    }
    return update(table, delivery_key(event.media_id), ADD_DELIVERY, values)


def _gates(table: str, before: Asset | None, after: Asset) -> list[Action]:
    was = before is not None and before.status is Status.PROCESSING
    if was is (after.status is Status.PROCESSING):
        return []
    keys = gate_keys(after.id)
    if was:
        return [delete(table, key) for key in keys]
    return [put(table, key, ABSENT) for key in keys]
