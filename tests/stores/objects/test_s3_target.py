"""Uploads by clients, who hold to what was signed for them."""

import asyncio
import time

import httpx
import pytest

from media.settings import AwsSettings
from stores.objects.base import Method, UploadRules, UploadTarget
from stores.objects.s3 import S3Objects
from tests.stores.objects.backends import keys
from tests.stores.objects.buckets import run_s3


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

    run_s3(aws, body)


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

    run_s3(aws, body)


@pytest.mark.parametrize("method", Method)
def test_expired_target(aws: AwsSettings, method: Method) -> None:
    async def body(store: S3Objects) -> None:
        target = await target_of(store, method=method, lifetime_s=1)
        deadline = time.monotonic() + 30
        while await send(target, b"12345") not in (400, 403):
            assert time.monotonic() < deadline
            await store.delete("source/m")
            await asyncio.sleep(0.1)

    run_s3(aws, body)
