"""What S3 answers, as errors of the store; what it answers a second time."""

import asyncio
from pathlib import Path

import pytest

from media.settings import AwsSettings
from stores.errors import Conflict, Denied, NotFound, Throttled, TimedOut, Unavailable
from stores.objects import s3_client
from stores.objects.s3 import S3Objects
from stores.objects.s3_errors import Undecided
from tests.stores.objects.buckets import behind, run_s3
from tests.stores.objects.proxy import Fault, Lost, Proxy, Silence, Status

ANSWERS: list[tuple[Fault, type[Exception], str]] = [
    (Status(404, "NoSuchKey"), NotFound, "object v/k does not exist"),
    (Status(404, "NoSuchBucket"), Unavailable, "objects-processed.*headrace doctor --create"),
    (Status(403, "AccessDenied", "s3:GetObject"), Denied, "s3:GetObject.*rights that README"),
    (Status(403, "InvalidAccessKeyId"), Denied, "AWS_ACCESS_KEY_ID"),
    (Status(403, "SignatureDoesNotMatch"), Denied, "AWS_SECRET_ACCESS_KEY"),
    (Status(400, "ExpiredToken"), Denied, "working credentials"),
    (Status(403, "RequestTimeTooSkewed"), Denied, "set the clock"),
    (Status(412, "PreconditionFailed"), Conflict, "v/k was written by somebody else"),
    (Status(409, "ConditionalRequestConflict"), Undecided, "v/k in bucket"),
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

    run_s3(behind(proxy, aws), body)
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

    run_s3(behind(proxy, aws), body)


def test_nothing_listens(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    away = aws.model_copy(update={"s3endpoint": "http://127.0.0.1:9"})

    async def body(store: S3Objects) -> None:
        with pytest.raises(Unavailable, match="in bucket objects-raw: S3 cannot be reached"):
            await store.head("source/m")

    run_s3(away, body)


def test_silent_server(aws: AwsSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "SILENCE_S", 0.2)
    monkeypatch.setattr(s3_client, "OPERATION_S", 0.5)
    proxy.faults = lambda _: Silence()

    async def body(store: S3Objects) -> None:
        with pytest.raises(TimedOut, match=r"object source/m in bucket objects-raw: .*in time"):
            await store.head("source/m")

    run_s3(behind(proxy, aws), body)


def test_no_credentials(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))

    async def body(store: S3Objects) -> None:
        for operation in (store.check(), store.put("v/k", b""), store.source("source/m")):
            with pytest.raises(Denied, match="AWS_ACCESS_KEY_ID"):
                await operation

    run_s3(aws, body)


def test_wrong_secret(aws: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")

    async def body(store: S3Objects) -> None:
        for operation in (store.check(), store.put("v/k", b"")):
            with pytest.raises(Denied) as raised:
                await operation
            assert "another-secret" not in str(raised.value)

    run_s3(aws, body)
