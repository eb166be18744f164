"""What the catalog's DynamoDB table holds: one table, two indexes.

    pk             sk                         what it is                  in index
    m#<id>         asset                      the record                  user, work
                   plan                       the plan
                   commit#<version>#<task>    a commit of one segment
                   gate#<0..7>                there while it is processing
    e#<id>         <number>                   an event; expires
                   delivery                   its events' outbox; expires work, while not empty
    k#<user>#<sha> key                        an idempotency key; expires

    index   partition                 sort                      of
    user    user_id                   <created ms>#<id>         titles not being deleted
    work    status#<status>           <created ms>              titles, for the reconciler
            delivery                  <due ms>                  outboxes

Indexes hold keys only: entries of an index may be late, so the items themselves are read after
all, and a wider index would cost a write for every progress report.

No item grows with the length of a title. A plan is a few numbers (under 1 KB for ten hours in four
rungs), a record is bounded by the API's limits on text, and the list of segments lives in the
commits, one item for each segment number: 6,000 of video with 1.2 KB and 6,000 of audio with
0.4 KB for ten hours. DynamoDB takes 400 KB in an item, and reads and writes are paid by size.

All items of one title are in one partition, which takes 1,000 writes of 1 KB a second: about 150
commits, which is a quarter of an hour of video a second. Gates are why commits of one title do
not stand in each other's way: a transaction fails when another holds one of its items, and all
commits checking the record itself would do so, and with every progress report. They check one
gate each, and whatever ends the processing takes all gates away.
"""

from __future__ import annotations  # names of stubs, which are not installed in production

import hashlib
import zlib
from typing import TYPE_CHECKING

from media.asset import Asset, Status
from media.commit import Commit
from media.event import Event
from media.plan import Plan
from stores.catalog.base import EVENTS_KEPT_S
from stores.catalog.records import ASSET, COMMIT, EVENT, PLAN, dump, load

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef

Item = dict[str, "AttributeValueTypeDef"]

GATES = 8
EXPIRY = "expires_at"  # seconds since 1970, as DynamoDB wants it
DELIVERIES = "delivery"


def text(value: str) -> AttributeValueTypeDef:
    return {"S": value}


def number(value: int) -> AttributeValueTypeDef:
    return {"N": str(value)}


def text_of(item: Item, name: str) -> str:
    return item[name]["S"]


def number_of(item: Item, name: str) -> int:
    return int(item[name]["N"])


def padded(time_ms: int) -> str:
    """Sorts as a string like the number; 19 digits hold every 64-bit time."""
    return f"{time_ms:019d}"


def key(pk: str, sk: str) -> Item:
    return {"pk": text(pk), "sk": text(sk)}


def key_of(item: Item) -> Item:
    return {"pk": item["pk"], "sk": item["sk"]}


def title_pk(media_id: str) -> str:
    return f"m#{media_id}"


def events_pk(media_id: str) -> str:
    return f"e#{media_id}"


def media_id_of(item: Item) -> str:
    return text_of(item, "pk").partition("#")[2]


def asset_key(media_id: str) -> Item:
    return key(title_pk(media_id), "asset")


def plan_key(media_id: str) -> Item:
    return key(title_pk(media_id), "plan")


def gate_key(media_id: str, task: str) -> Item:
    return _gate(media_id, zlib.crc32(task.encode()) % GATES)


def gate_keys(media_id: str) -> list[Item]:
    return [_gate(media_id, number) for number in range(GATES)]


def _gate(media_id: str, number: int) -> Item:
    return key(title_pk(media_id), f"gate#{number}")


def delivery_key(media_id: str) -> Item:
    return key(events_pk(media_id), "delivery")


def idempotency_key(user_id: str, given: str) -> Item:
    """Hashed, as a client may choose a key longer than DynamoDB's."""
    return key(f"k#{user_id}#{hashlib.sha256(given.encode()).hexdigest()}", "key")


def commit_sk(version: str, task: str) -> str:
    return f"commit#{version}#{task}"


def event_sk(event_number: int) -> str:
    return f"{event_number:010d}"


def user_sort(created_at_ms: int, media_id: str) -> str:
    return f"{padded(created_at_ms)}#{media_id}"


def status_queue(status: Status) -> str:
    return f"status#{status}"


def asset_item(asset: Asset) -> Item:
    item = {
        **asset_key(asset.id),
        "record": text(dump(ASSET, asset)),
        "updated_at_ms": number(asset.updated_at_ms),
        "work_queue": text(status_queue(asset.status)),
        "work_sort": text(padded(asset.created_at_ms)),
    }
    if asset.status is not Status.DELETING:
        item["user_id"] = text(asset.user_id)
        item["user_sort"] = text(user_sort(asset.created_at_ms, asset.id))
    return item


def asset_of(item: Item) -> Asset:
    return load(ASSET, text_of(item, "record"))


def plan_item(media_id: str, plan: Plan) -> Item:
    return {**plan_key(media_id), "record": text(dump(PLAN, plan))}


def plan_of(item: Item) -> Plan:
    return load(PLAN, text_of(item, "record"))


def commit_item(media_id: str, version: str, commit: Commit) -> Item:
    return {
        **key(title_pk(media_id), commit_sk(version, commit.task)),
        "record": text(dump(COMMIT, commit)),
    }


def commit_of(item: Item) -> Commit:
    return load(COMMIT, text_of(item, "record"))


def expiry_s(at_ms: int, kept_s: int) -> int:
    return at_ms // 1000 + kept_s


def event_item(event: Event) -> Item:
    return {
        **key(events_pk(event.media_id), event_sk(event.number)),
        "record": text(dump(EVENT, event)),
        EXPIRY: number(expiry_s(event.at_ms, EVENTS_KEPT_S)),
    }


def event_of(item: Item) -> Event:
    return load(EVENT, text_of(item, "record"))
