"""What is S3's own: its errors, uploads in parts and by clients, buckets."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings
from stores.errors import Conflict, Denied, NotFound, Throttled, TimedOut, Unavailable
from stores.objects import s3 as s3_module
from stores.objects import s3_client
from stores.objects.base import Method, UploadRules, UploadTarget
from stores.objects.s3 import S3Objects
from stores.objects.s3_client import S3
from stores.objects.s3_upload import part_bytes
from tests.stores.objects.backends import keys
from tests.stores.objects.proxy import Answer, Fault, Lost, Proxy, Silence, Status, faulty

MIB = 1 << 20
RAW, PROCESSED = "objects-raw", "objects-processed"
Body = Callable[[S3Objects], Coroutine[None, None, None]]


def run(aws: AwsSettings, body: Body, *, abandoned_after: timedelta = timedelta(days=2)) -> None:
    async def opened() -> None:
        store = S3Objects(aws, abandoned_after=abandoned_after)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(opened())


@asynccontextmanager
async def raw_client(aws: AwsSettings) -> AsyncIterator[S3]:
    client = S3(aws)
    try:
        yield client
    finally:
        await client.close()


async def unfinished(aws: AwsSettings) -> list[str]:
    async with raw_client(aws) as s3, s3.calling(RAW, "uploads") as client:
        found = []
        for bucket in (RAW, PROCESSED):
            page = await client.list_multipart_uploads(Bucket=bucket)
            found += [upload["Key"] for upload in page.get("Uploads", ())]
        return found


@pytest.fixture
def proxy(s3_server: AwsServer) -> Iterator[Proxy]:
    with faulty(s3_server.endpoint) as proxy:
        yield proxy


def behind(proxy: Proxy, aws: AwsSettings) -> AwsSettings:
    return aws.model_copy(update={"s3endpoint": proxy.endpoint})


ANSWERS: list[tuple[Fault, type[Exception], str]] = [
    (Status(404, "NoSuchKey"), NotFound, "object v/k does not exist"),
    (Status(404, "NoSuchBucket"), Unavailable, "objects-processed.*headrace doctor --create"),
    (Status(403, "AccessDenied", "s3:GetObject"), Denied, "s3:GetObject.*rights that README"),
    (Status(403, "InvalidAccessKeyId"), Denied, "AWS_ACCESS_KEY_ID"),
    (Status(403, "SignatureDoesNotMatch"), Denied, "AWS_SECRET_ACCESS_KEY"),
    (Status(400, "ExpiredToken"), Denied, "working credentials"),
    (Status(403, "RequestTimeTooSkewed"), Denied, "set the clock"),
    (Status(412, "PreconditionFailed"), Conflict, "v/k was written by somebody else"),
    (Status(409, "ConditionalRequestConflict"), Conflict, "v/k"),
    (Status(503, "SlowDown"), Throttled, "v/k in bucket objects-processed.*503 SlowDown"),
    (Status(429, "TooManyRequests"), Throttled, "429"),
    (Status(500, "InternalError"), Unavailable, "500 InternalError"),
    (Status(400, "RequestTimeout"), TimedOut, "RequestTimeout"),
    (Status(501, "NotImplemented"), Unavailable, "501 NotImplemented"),
    (Lost(), Unavailable, "v/k in bucket objects-processed: S3 cannot be reached"),
]


def test_answers_of_s3_as_errors_of_the_store(aws: AwsSettings, proxy: Proxy) -> None:
    """At once, as some are tried again with growing waits."""
    answers: dict[str, Fault] = {
        f"v/k{number}": fault for number, (fault, _, _) in enumerate(ANSWERS)
    }
    proxy.faults = lambda request: answers[request.rpartition("/objects-processed/")[2]]

    async def body(store: S3Objects) -> None:
        looks = (store.get(key) for key in answers)
        results = await asyncio.gather(*looks, return_exceptions=True)
        for result, (fault, error, message) in zip(results, ANSWERS, strict=True):
            with pytest.raises(error, match=message.replace("v/k", r"v/k\d+")) as raised:
                assert isinstance(result, BaseException)
                raise result
            assert type(raised.value) is error, fault
            assert "secret" not in str(result)

    run(behind(proxy, aws), body)
    assert proxy.seen.count("GET /objects-processed/v/k0") == 1
    assert proxy.seen.count("GET /objects-processed/v/k9") == s3_client.ATTEMPTS


def test_passing_faults_are_not_noticed(aws: AwsSettings, proxy: Proxy) -> None:
    faults: dict[str, list[Fault]] = {
        "PUT /objects-processed/v/put": [Status(503, "SlowDown")],
        "GET /objects-processed/v/body": [Lost(100_000), Lost(5), Lost(0)],
        "GET /objects-processed/v/get": [Lost(), Status(500, "InternalError")],
    }

    def fault_of(request: str) -> Fault:
        left = faults.get(request.partition("?")[0])
        return left.pop() if left else None

    async def body(store: S3Objects) -> None:
        data = bytes(range(256)) * 1000
        for key in ("v/put", "v/body", "v/get"):
            await store.put(key, data)
        proxy.faults = fault_of
        await store.put("v/put", data)
        for found, info in await asyncio.gather(store.get("v/body"), store.get("v/get")):
            assert (found, info.size) == (data, len(data))
        assert faults == {request: [] for request in faults}

    run(behind(proxy, aws), body)


def test_nothing_listens(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    away = aws.model_copy(update={"s3endpoint": "http://127.0.0.1:9"})

    async def body(store: S3Objects) -> None:
        with pytest.raises(Unavailable, match="in bucket objects-raw: S3 cannot be reached"):
            await store.head("source/m")

    run(away, body)


def test_silent_server(aws: AwsSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "SILENCE_S", 0.2)
    monkeypatch.setattr(s3_client, "OPERATION_S", 0.5)
    proxy.faults = lambda _: Silence()

    async def body(store: S3Objects) -> None:
        with pytest.raises(TimedOut, match=r"object source/m in bucket objects-raw: .*in time"):
            await store.head("source/m")

    run(behind(proxy, aws), body)


def test_no_credentials(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))

    async def body(store: S3Objects) -> None:
        for operation in (store.check(), store.put("v/k", b""), store.source("source/m")):
            with pytest.raises(Denied, match="AWS_ACCESS_KEY_ID"):
                await operation

    run(aws, body)


def test_wrong_secret(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")

    async def body(store: S3Objects) -> None:
        for operation in (store.check(), store.put("v/k", b"")):
            with pytest.raises(Denied) as raised:
                await operation
            assert "another-secret" not in str(raised.value)

    run(aws, body)


def test_check_and_create(aws: AwsSettings) -> None:
    async def delete_buckets() -> None:
        async with raw_client(aws) as s3, s3.calling(RAW, "buckets") as client:
            for bucket in (RAW, PROCESSED):
                await client.delete_bucket(Bucket=bucket)

    async def life_cycle() -> object:
        async with raw_client(aws) as s3, s3.calling(RAW, "buckets") as client:
            found = await client.get_bucket_lifecycle_configuration(Bucket=RAW)
            return found["Rules"][0]["AbortIncompleteMultipartUpload"]

    async def body(store: S3Objects) -> None:
        await delete_buckets()
        with pytest.raises(Unavailable, match=r"objects-.* does not exist; `headrace doctor --cr"):
            await store.check()
        with pytest.raises(Unavailable, match="objects-raw does not exist; `headrace doctor --cr"):
            await store.put("source/m", b"")
        assert await store.create() == ["bucket objects-raw", "bucket objects-processed"]
        assert await life_cycle() == {"DaysAfterInitiation": 7}
        assert await store.create() == []
        await store.check()

    run(aws, body)


def test_bucket_that_cannot_be_set_up_is_not_left_behind(aws: AwsSettings, proxy: Proxy) -> None:
    fresh = behind(proxy, aws).model_copy(update={"s3rawbucket": "objects-fresh"})
    proxy.once("PUT /objects-fresh?lifecycle", Status(403, "AccessDenied"))

    async def body(store: S3Objects) -> None:
        with pytest.raises(Denied, match="creation in bucket objects-fresh"):
            await store.create()
        assert await store.create() == ["bucket objects-fresh"]
        await store.sweep()
        async with raw_client(aws) as s3, s3.calling(RAW, "buckets") as client:
            await client.delete_bucket(Bucket="objects-fresh")

    run(fresh, body)


def test_parts_hold_what_s3_holds() -> None:
    sizes = [part_bytes(number) for number in range(1, 10_001)]
    assert sum(sizes) > 5 << 40
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[999], sizes[1000]) == (8 * MIB, 8 * MIB, 16 * MIB)
    assert sizes[-1] <= 5 << 30


def test_failed_part_fails_the_upload(aws: AwsSettings, proxy: Proxy) -> None:
    proxy.faults = lambda request: (
        Status(403, "AccessDenied") if "partNumber=2" in request else None
    )

    async def body(store: S3Objects) -> None:
        with pytest.raises(Denied, match="object source/m in bucket objects-raw"):
            async with store.writer("source/m") as writer:
                for _ in range(20):
                    await writer.write(bytes(MIB))
        assert await keys(store) == []
        assert await unfinished(aws) == []

    run(behind(proxy, aws), body)


def test_upload_goes_on_after_an_error_to_no_avail(aws: AwsSettings, proxy: Proxy) -> None:
    proxy.once("POST /objects-raw/source/m?uploads", Status(403, "AccessDenied"))

    async def body(store: S3Objects) -> None:
        with pytest.raises(Unavailable, match="a write of this upload had failed"):
            async with store.writer("source/m") as writer:
                with pytest.raises(Denied):
                    await writer.write(bytes(8 * MIB))
                await writer.write(b"the rest")
        assert await keys(store) == []

    run(behind(proxy, aws), body)


@pytest.mark.parametrize("written", [9, 20])
def test_abandoned_upload_leaves_nothing_unfinished(aws: AwsSettings, written: int) -> None:
    async def upload(store: S3Objects, begun: asyncio.Event) -> None:
        async with store.writer("source/m") as writer:
            for _ in range(written):
                await writer.write(bytes(MIB))
            begun.set()
            await asyncio.sleep(600)

    async def body(store: S3Objects) -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(upload(store, begun))
        await begun.wait()
        assert await unfinished(aws) == ["source/m"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await unfinished(aws) == []
        assert await keys(store) == []

    run(aws, body)


@pytest.mark.parametrize("steps", range(0, 60, 10))
def test_upload_cancelled_at_any_point_leaves_nothing_unfinished(
    aws: AwsSettings, steps: int
) -> None:
    async def upload(store: S3Objects) -> None:
        async with store.writer("source/m") as writer:
            for _ in range(12):
                await writer.write(bytes(MIB))
            await writer.flush()
            await asyncio.sleep(600)

    async def body(store: S3Objects) -> None:
        await store.check()
        task = asyncio.create_task(upload(store))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await unfinished(aws) == []

    run(aws, body)


@pytest.mark.parametrize("size", [100, 9 * MIB])
def test_lost_answer_to_the_end_of_an_upload(aws: AwsSettings, proxy: Proxy, size: int) -> None:
    """S3 did it, and the second attempt gets another answer."""
    data = bytes(range(256)) * (size // 256)
    last = "PUT /objects-raw/source/m" if size < MIB else "POST /objects-raw/source/m?uploadId"
    answers: list[Fault] = [Status(404, "NoSuchUpload"), Lost()]

    def fault_of(request: str) -> Fault:
        return answers.pop() if answers and request.startswith(last) else None

    async def body(store: S3Objects) -> None:
        proxy.faults = fault_of
        async with store.writer("source/m") as writer:
            await writer.write(data)
        assert (await store.get("source/m"))[0] == data
        assert await unfinished(aws) == []

    run(behind(proxy, aws), body)
    assert answers == []


def test_lost_answer_to_a_conditional_write(aws: AwsSettings, proxy: Proxy) -> None:
    async def body(store: S3Objects) -> None:
        proxy.once("PUT", Lost())
        first = await store.put_if("v/k", b"one", etag=None)
        assert await store.get("v/k") == (b"one", first)
        proxy.once("PUT", Lost())
        second = await store.put_if("v/k", b"two", etag=first.etag)
        assert await store.get("v/k") == (b"two", second)

    run(behind(proxy, aws), body)
    assert len([request for request in proxy.seen if request.startswith("PUT")]) == 4


def test_equal_bytes_of_somebody_else_are_a_conflict(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        await store.put_if("v/k", b"same", etag=None)
        with pytest.raises(Conflict):
            await store.put_if("v/k", b"same", etag=None)

    run(aws, body)


def test_objects_say_their_encryption_and_storage_class(aws: AwsSettings) -> None:
    cold = aws.model_copy(update={"s3storageclass": "STANDARD_IA"})

    async def attributes(key: str) -> tuple[str | None, str | None]:
        bucket = RAW if key.startswith("source/") else PROCESSED
        async with raw_client(aws) as s3, s3.calling(bucket, key) as client:
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

    run(cold, body)


def test_foreign_keys_are_not_listed_but_deleted_with_their_prefix(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        await store.put("v/m/object", b"")
        async with raw_client(aws) as s3, s3.calling(PROCESSED, "foreign keys") as client:
            for key in ("v/m/.hidden", "v/m/folder/.x"):
                await client.put_object(Bucket=PROCESSED, Key=key)
        assert await keys(store) == ["v/m/object"]
        assert await store.delete_prefix("v/m/") == 3

    run(aws, body)


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

    run(behind(proxy, aws), body)


def test_deletion_that_is_put_off(aws: AwsSettings, proxy: Proxy) -> None:
    async def body(store: S3Objects) -> None:
        await store.put("v/m/object", b"")
        proxy.once("POST /objects-processed?delete", deletion_result("SlowDown"))
        assert await store.delete_prefix("v/m/") == 1
        assert await keys(store) == []

    run(behind(proxy, aws), body)


def test_sweep_aborts_uploads_that_were_abandoned(aws: AwsSettings) -> None:
    async def begin() -> None:
        async with raw_client(aws) as s3, s3.calling(RAW, "uploads") as client:
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

    run(aws, keep)
    run(aws, collect, abandoned_after=timedelta(seconds=-60))


def rules(**changes: object) -> UploadRules:
    given = {"max_bytes": 100, "size": None, "content_type": "video/mp4", "lifetime_s": 60}
    return UploadRules(**{"method": Method.PUT, **given, **changes})  # type: ignore[arg-type]


async def target_of(store: S3Objects, **changes: object) -> UploadTarget:
    target = await store.upload_target("source/m", rules(**changes))
    assert target is not None
    return target


async def send(target: UploadTarget, data: bytes, **changes: str) -> int:
    async with httpx.AsyncClient() as client:
        if target.fields:
            answer = await client.post(
                target.url, data={**target.fields, **changes}, files={"file": ("clip", data)}
            )
        else:
            headers = {**target.headers, **changes}
            headers.pop("Content-Length", None)  # of what is really sent
            answer = await client.put(target.url, headers=headers, content=data)
    return answer.status_code


def test_put_by_a_client(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        target = await target_of(store, size=5)
        assert target.headers["Content-Length"] == "5"
        assert await send(target, b"123456") == 403
        assert await send(target, b"1234") == 403
        assert await send(target, b"12345", **{"Content-Type": "text/html"}) == 403
        assert await send(target, b"12345", **{"If-None-Match": "x"}) == 403
        assert await keys(store) == []
        assert await send(target, b"12345") == 200
        assert await send(target, b"again") == 412
        assert (await store.get("source/m"))[0] == b"12345"
        await store.delete("source/m")
        anything = await target_of(store, content_type=None)
        assert await send(anything, bytes(200)) == 200

    run(aws, body)


def test_post_by_a_client(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        target = await target_of(store, method=Method.POST)
        assert await send(target, b"") == 400
        assert await send(target, bytes(101)) == 400
        assert await send(target, b"12345", **{"Content-Type": "text/html"}) == 403
        assert await send(target, b"12345", key="source/other") == 403
        assert await keys(store) == []
        assert await send(target, b"12345") == 204
        exact = await target_of(store, method=Method.POST, size=4, content_type=None)
        assert await send(exact, b"12345") == 400
        assert await send(exact, b"1234") == 204
        assert await send(exact, b"4321", **{"Content-Type": "video/webm"}) == 204
        assert (await store.get("source/m"))[0] == b"4321"

    run(aws, body)


@pytest.mark.parametrize("method", Method)
def test_expired_target(aws: AwsSettings, method: Method) -> None:
    async def body(store: S3Objects) -> None:
        target = await target_of(store, method=method, lifetime_s=1)
        deadline = time.monotonic() + 30
        while await send(target, b"12345") not in (400, 403):
            assert time.monotonic() < deadline
            await store.delete("source/m")
            await asyncio.sleep(0.1)

    run(aws, body)


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

    run(aws, body)


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

    run(behind(proxy, aws), body)
    assert next(cuts) > 50
