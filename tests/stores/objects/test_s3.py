"""What is S3's own behind the promises of every store."""

import asyncio
import hashlib
import time
from datetime import timedelta

import pytest

from media.settings import AwsSettings
from stores.errors import Conflict, Denied, Unavailable
from stores.objects import s3 as s3_module
from stores.objects.s3 import DECISION_ATTEMPTS, S3Objects
from tests.stores.objects.backends import keys
from tests.stores.objects.buckets import MIB, PROCESSED, RAW, behind, raw_client, run_s3, unfinished
from tests.stores.objects.proxy import Answer, Lost, Proxy, Status


def test_lost_answer_to_a_conditional_write(aws: AwsSettings, proxy: Proxy) -> None:
    async def body(store: S3Objects) -> None:
        proxy.once("PUT", Lost())
        first = await store.put_if("v/k", b"one", etag=None)
        assert await store.get("v/k") == (b"one", first)
        proxy.once("PUT", Lost())
        second = await store.put_if("v/k", b"two", etag=first.etag)
        assert await store.get("v/k") == (b"two", second)

    run_s3(behind(proxy, aws), body)
    assert len([request for request in proxy.seen if request.startswith("PUT")]) == 4


@pytest.mark.parametrize("answers", [1, DECISION_ATTEMPTS])
def test_conditional_write_that_meets_another_request(
    aws: AwsSettings, proxy: Proxy, answers: int
) -> None:
    """The other may come to nothing: nobody may take the object for stored."""
    left = [Status(409, "ConditionalRequestConflict")] * answers
    proxy.faults = lambda request: left.pop() if left and request.startswith("PUT") else None

    async def body(store: S3Objects) -> None:
        if answers == DECISION_ATTEMPTS:
            with pytest.raises(Unavailable):
                await store.put_if("v/k", b"one", etag=None)
        stored = await store.put_if("v/k", b"one", etag=None)
        assert await store.get("v/k") == (b"one", stored)

    run_s3(behind(proxy, aws), body)


def test_equal_bytes_of_somebody_else_are_a_conflict(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        await store.put_if("v/k", b"same", etag=None)
        with pytest.raises(Conflict):
            await store.put_if("v/k", b"same", etag=None)

    run_s3(aws, body)


def test_objects_say_their_encryption_and_storage_class(aws: AwsSettings) -> None:
    cold = aws.model_copy(update={"s3storageclass": "STANDARD_IA"})

    async def attributes(key: str) -> tuple[str | None, str | None]:
        bucket = RAW if key.startswith("source/") else PROCESSED
        async with raw_client(aws) as client:
            head = await client.head_object(Bucket=bucket, Key=key)
        return head.get("ServerSideEncryption"), head.get("StorageClass")

    async def body(store: S3Objects) -> None:
        for size in (10, 9 * MIB):
            for key in ("source/m", "v/m/segment"):
                async with store.writer(key) as writer:
                    await writer.write(bytes(size))
            assert (await attributes("source/m"))[1] in (None, "STANDARD")
            assert await attributes("v/m/segment") == ("AES256", "STANDARD_IA")
        await store.put("v/m/put", b"")
        assert await attributes("v/m/put") == ("AES256", "STANDARD_IA")

    run_s3(cold, body)


def test_foreign_keys_are_not_listed_but_deleted_with_their_prefix(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        await store.put("v/m/object", b"")
        async with raw_client(aws) as client:
            for key in ("v/m/.hidden", "v/m/folder/.x"):
                await client.put_object(Bucket=PROCESSED, Key=key)
        assert await keys(store) == ["v/m/object"]
        assert await store.delete_prefix("v/m/") == 3

    run_s3(aws, body)


def deletion_result(code: str) -> Answer:
    error = f"<Error><Key>v/m/object</Key><Code>{code}</Code><Message>because</Message></Error>"
    return Answer(f"<DeleteResult>{error}</DeleteResult>")


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDenied", Denied), ("InvalidArgument", Unavailable)]
)
def test_deletion_that_is_refused(
    aws: AwsSettings, proxy: Proxy, code: str, error: type[Unavailable]
) -> None:
    async def body(store: S3Objects) -> None:
        await store.put("v/m/object", b"")
        proxy.once("POST /objects-processed?delete", deletion_result(code))
        with pytest.raises(error, match=rf"objects-processed: .* v/m/object \({code}\)") as raised:
            await store.delete_prefix("v/m/")
        assert type(raised.value) is error

    run_s3(behind(proxy, aws), body)


def test_deletion_that_is_put_off(aws: AwsSettings, proxy: Proxy) -> None:
    async def body(store: S3Objects) -> None:
        await store.put("v/m/object", b"")
        proxy.once("POST /objects-processed?delete", deletion_result("SlowDown"))
        assert await store.delete_prefix("v/m/") == 1
        assert await keys(store) == []

    run_s3(behind(proxy, aws), body)


def test_sweep_aborts_uploads_that_were_abandoned(aws: AwsSettings) -> None:
    async def begin() -> None:
        async with raw_client(aws) as client:
            await client.create_multipart_upload(Bucket=RAW, Key="source/m")
            await client.create_multipart_upload(Bucket=PROCESSED, Key="v/m/segment")

    async def keep(store: S3Objects) -> None:
        await begin()
        assert await store.sweep() == []
        assert await unfinished(aws) == ["source/m", "v/m/segment"]

    async def collect(store: S3Objects) -> None:
        named = await store.sweep(dry_run=True)
        assert [name.partition(",")[0] for name in named] == [
            "upload of source/m to bucket objects-raw",
            "upload of v/m/segment to bucket objects-processed",
        ]
        assert len(await unfinished(aws)) == 2
        assert await store.sweep() == named
        assert await unfinished(aws) == []

    run_s3(aws, keep)
    run_s3(aws, collect, abandoned_after=timedelta(seconds=-60))


def test_expired_source(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "SOURCE_LIFETIME_S", 1)

    async def body(store: S3Objects) -> None:
        await store.put("source/m", b"x")
        source = await store.source("source/m")
        deadline = time.monotonic() + 30
        with pytest.raises(Denied, match=r"object source/m: .* link, which has expired"):
            while time.monotonic() < deadline:
                source.open().close()
                await asyncio.sleep(0.1)

    run_s3(aws, body)


def test_source_through_connections_that_are_cut(aws: AwsSettings, proxy: Proxy) -> None:
    data = bytes(range(256)) * 20_000
    cuts = iter(range(1000))

    async def body(store: S3Objects) -> None:
        await store.put("source/m", data)
        source = await store.source("source/m")
        proxy.faults = lambda _: (Lost(7000), Lost(), None)[next(cuts) % 3]
        with source.open() as file:
            read = await asyncio.to_thread(file.read)
        assert hashlib.sha256(read).digest() == hashlib.sha256(data).digest()

    run_s3(behind(proxy, aws), body)
    assert next(cuts) > 50
