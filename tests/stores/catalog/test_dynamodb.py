"""What only the catalog in DynamoDB has: its table, the size of its items, its requests."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.aws_local.servers import AwsServer
from media.asset import Status
from media.commit import Commit, RenditionFacts, SegmentFacts, task_name
from media.plan import AudioPlan, AudioRung, Plan, Rung, VideoPlan
from media.settings import AwsSettings
from media.timeline import AUDIO_SAMPLE_RATE, FrameRate
from stores.catalog import dynamodb_items as items
from stores.catalog.base import EVENTS_KEPT_S, Catalog
from stores.catalog.dynamodb_client import open_client
from stores.catalog.dynamodb_items import Item
from stores.catalog.dynamodb_table import Query, Table, batches
from stores.errors import Denied, Unavailable
from tests.stores.catalog.backends import CatalogBackend
from tests.stores.catalog.faulty import faulty
from tests.stores.catalog.titles import asset, commit

ITEM_LIMIT = 400 * 1024
TEN_HOURS_S = 36_000
RUNGS = (
    Rung("1080p", 1920, 1080, 5_000_000),
    Rung("720p", 1280, 720, 2_800_000),
    Rung("480p", 854, 480, 1_400_000),
    Rung("360p", 640, 360, 800_000),
)
TEN_HOURS = Plan(
    origin=(1, 90_000),
    segment_duration_s=6,
    video=VideoPlan(0, FrameRate(30_000, 1001), TEN_HOURS_S * 30, RUNGS, seekable=True),
    audio=AudioPlan(1, TEN_HOURS_S * AUDIO_SAMPLE_RATE, (AudioRung("audio", 192_000, 2),)),
    preset="veryfast",
    crf=23,
)


def segment_commit(kind: str, names: tuple[str, ...], number: int) -> Commit:
    """As workers commit: one segment number, all renditions of a kind."""
    segment = SegmentFacts(
        number,
        f"{number:05d}-0123456789abcdef.m4s",
        number * 540_540,
        540_540,
        4_000_000,
        180,
        True,
    )
    renditions = (
        RenditionFacts(name, "init-0123456789abcdef.mp4", "avc1.640028", 90_000, (segment,))
        for name in names
    )
    return Commit(task_name(kind, number), tuple(renditions))


def size(item: Item) -> int:
    """As DynamoDB counts: names and values."""
    return sum(len(name) + len(value.get("S") or value["N"]) for name, value in item.items())


@pytest.fixture
def backend(dynamodb: AwsServer, tmp_path: Path) -> CatalogBackend:
    return CatalogBackend("dynamodb", tmp_path, dynamodb.endpoint)


def on_table(
    backend: CatalogBackend, body: Callable[[Catalog, Table], Coroutine[None, None, None]]
) -> None:
    """With the table itself beside the catalog."""

    async def opened() -> None:
        table = Table(backend.table, AwsSettings(dynamodbendpoint=backend.endpoint))
        try:
            async with backend.open() as catalog:
                await body(catalog, table)
        finally:
            await table.close()

    asyncio.run(opened())


async def everything(table: Table) -> list[Item]:
    client = await table.client()
    pages = client.get_paginator("scan").paginate(TableName=table.name)
    return [item async for page in pages for item in page["Items"]]


def test_items_do_not_grow_with_the_length_of_a_title() -> None:
    names = tuple(rung.name for rung in RUNGS)
    last = TEN_HOURS.segment_count - 1
    assert 6000 <= last < 6010
    assert size(items.plan_item("0" * 24, TEN_HOURS)) < 1000
    video = segment_commit("video", names, last)
    assert size(items.commit_item("0" * 24, TEN_HOURS.version, video)) < 1400
    audio = segment_commit("audio", ("audio",), last)
    assert size(items.commit_item("0" * 24, TEN_HOURS.version, audio)) < 500


def test_largest_record_is_far_from_the_limit() -> None:
    """What people may send, each character at its longest in JSON, and far too many warnings."""
    title = replace(
        asset("0" * 24, "u" * 128),
        title="\x01" * 200,
        description="\x01" * 5000,
        filename="\x01" * 255,
        warnings=("\x01" * 1000,) * 20,
    )
    assert size(items.asset_item(title)) < ITEM_LIMIT / 2


def test_ten_hours_are_read_by_the_megabyte(dynamodb: AwsServer, tmp_path: Path) -> None:
    count, names = 6003, tuple(rung.name for rung in RUNGS)
    commits = [segment_commit("video", names, number) for number in range(count)]
    version = TEN_HOURS.version

    async def fill(table: Table) -> None:
        client = await table.client()
        for batch in batches(commits, 25):
            found = [items.commit_item("m", version, one) for one in batch]
            await client.batch_write_item(
                RequestItems={table.name: [{"PutRequest": {"Item": item}} for item in found]}
            )

    with faulty(dynamodb.endpoint) as proxy:
        backend = CatalogBackend("dynamodb", tmp_path, proxy.endpoint)

        async def body(catalog: Catalog, table: Table) -> None:
            await catalog.create(asset("m"))
            await fill(table)
            proxy.asked.clear()
            assert await catalog.commits("m", version) == tuple(commits)
            assert 7 <= proxy.asked.total() <= 10
            proxy.asked.clear()
            assert await catalog.commits("m", version, kind="video", start=count - 2) == tuple(
                commits[-2:]
            )
            assert proxy.asked == {"Query": 1}
            proxy.asked.clear()
            await catalog.remove("m")
            assert proxy.asked["BatchWriteItem"] <= count / 25 + 10
            left = {items.text_of(item, "pk") for item in await everything(table)}
            assert left == {"e#m"}

        on_table(backend, body)


REQUESTS: list[tuple[str, Callable[[Catalog], Coroutine[None, None, object]], dict[str, int]]] = [
    ("get", lambda c: c.get("m"), {"GetItem": 1}),
    ("commit", lambda c: c.commit("m", "1", commit("video-00001")), {"TransactWriteItems": 1}),
    ("update", lambda c: c.update("m", {}), {"GetItem": 1, "TransactWriteItems": 1}),
    (
        "transition",
        lambda c: c.transition("m", Status.READY),
        {"GetItem": 1, "TransactWriteItems": 1},
    ),
    (
        "list",
        lambda c: c.list_by_user("ann", limit=50, cursor=None),
        {"Query": 1, "BatchGetItem": 1},
    ),
    ("events", lambda c: c.events("m"), {"Query": 1}),
    ("new commits", lambda c: c.commits("m", "1", kind="video", start=7), {"Query": 1}),
]


@pytest.mark.parametrize(("_", "step", "requests"), REQUESTS, ids=[row[0] for row in REQUESTS])
def test_requests_of_a_step(
    dynamodb: AwsServer,
    tmp_path: Path,
    _: str,
    step: Callable[[Catalog], Coroutine[None, None, object]],
    requests: dict[str, int],
) -> None:
    with faulty(dynamodb.endpoint) as proxy:

        async def body(catalog: Catalog) -> None:
            await catalog.create(asset("m"))
            for status in (Status.QUEUED, Status.PROCESSING):
                await catalog.transition("m", status)
            proxy.asked.clear()
            await step(catalog)
            assert proxy.asked == requests

        CatalogBackend("dynamodb", tmp_path, proxy.endpoint).run(body)


def test_titles_beyond_a_batch(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog) -> None:
        for number in range(130):
            await catalog.create(asset(f"m{number:03d}", created_at_ms=number))
        found = (await catalog.list_by_user("ann", limit=120, cursor=None)).items
        assert [title.id for title in found] == [f"m{n:03d}" for n in range(129, 9, -1)]
        assert len(await catalog.list_by_status([Status.UPLOADING])) == 130

    backend.run(body)


def test_page_is_full_although_the_index_is_late(backend: CatalogBackend) -> None:
    """Titles that the index still has, and that are being deleted or gone."""

    async def body(catalog: Catalog, table: Table) -> None:
        for number in range(10):
            await catalog.create(asset(f"m{number}", created_at_ms=number))
        client = await table.client()
        for number in (8, 6):
            await catalog.transition(f"m{number}", Status.DELETING)
            stale = items.asset_item(await catalog.get(f"m{number}"))
            shown = items.asset_item(asset(f"m{number}", created_at_ms=number))
            stale |= {"user_id": shown["user_id"], "user_sort": shown["user_sort"]}
            await client.put_item(TableName=table.name, Item=stale)
        page = await catalog.list_by_user("ann", limit=3, cursor=None)
        assert [title.id for title in page.items] == ["m9", "m7", "m5"]
        page = await catalog.list_by_user("ann", limit=5, cursor=page.next_cursor)
        assert [title.id for title in page.items] == ["m4", "m3", "m2", "m1", "m0"]
        assert page.next_cursor is None

    on_table(backend, body)


def test_what_expires_says_so_in_seconds(backend: CatalogBackend) -> None:
    async def body(catalog: Catalog, table: Table) -> None:
        await catalog.create(asset("m"))
        await catalog.claim_key("ann", "1", "m")
        found = {
            items.text_of(item, "sk"): item.get(items.EXPIRY) for item in await everything(table)
        }
        assert set(found) == {"asset", "0000000001", "delivery", "key"}
        assert found["asset"] is None
        for name, kept_s in (("0000000001", EVENTS_KEPT_S), ("delivery", EVENTS_KEPT_S)):
            expiry = found[name]
            assert expiry is not None
            assert abs(int(expiry["N"]) - time.time() - kept_s) < 600
        client = await table.client()
        answer = await client.describe_time_to_live(TableName=table.name)
        assert answer["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
        assert answer["TimeToLiveDescription"]["AttributeName"] == items.EXPIRY

    on_table(backend, body)


def test_gates_are_there_while_a_title_is_processed(backend: CatalogBackend) -> None:
    async def gates(table: Table) -> int:
        query = Query("pk = :pk AND begins_with(sk, :gate)", GATE_VALUES)
        return sum([len(page) async for page in table.pages(query)])

    async def body(catalog: Catalog, table: Table) -> None:
        await catalog.create(asset("m"))
        for step, expected in (
            (Status.QUEUED, 0),
            (Status.PROCESSING, items.GATES),
            (Status.FAILED, 0),
            (Status.QUEUED, 0),
            (Status.PROCESSING, items.GATES),
            (Status.DELETING, 0),
        ):
            await catalog.transition("m", step)
            assert await gates(table) == expected

    on_table(backend, body)


GATE_VALUES: Item = {":pk": items.text("m#m"), ":gate": items.text("gate#")}


def test_commits_are_spread_over_all_gates() -> None:
    used = {
        items.text_of(items.gate_key("m", task_name(kind, number)), "sk")
        for kind in ("video", "audio")
        for number in range(100)
    }
    assert len(used) == items.GATES


def test_storage_is_created_once(backend: CatalogBackend) -> None:
    async def body() -> None:
        catalog = backend.catalog()
        try:
            with pytest.raises(Unavailable, match="headrace doctor --create"):
                await catalog.check()
            with pytest.raises(Unavailable, match="headrace doctor --create"):
                await catalog.get("m")
            made = await catalog.create_storage()
            assert made == (
                f"DynamoDB table {backend.table}",
                f"expiry of old events in table {backend.table}",
                f"point-in-time recovery of table {backend.table}",
            )
            await catalog.check()
            assert await catalog.create_storage() == ()
        finally:
            await catalog.close()

    asyncio.run(body())


def test_table_of_something_else_is_refused(backend: CatalogBackend) -> None:
    async def body() -> None:
        async with open_client(AwsSettings(dynamodbendpoint=backend.endpoint)) as client:
            await client.create_table(
                TableName=backend.table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )
        catalog = backend.catalog()
        try:
            for operation in (catalog.check(), catalog.create_storage()):
                with pytest.raises(Unavailable, match="is no catalog of this version"):
                    await operation
        finally:
            await catalog.close()

    asyncio.run(body())


def test_process_without_credentials(
    backend: CatalogBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    async def body() -> None:
        catalog = backend.catalog()
        try:
            with pytest.raises(Denied, match="no credentials for DynamoDB"):
                await catalog.check()
        finally:
            await catalog.close()

    asyncio.run(body())
