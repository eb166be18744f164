"""Buckets of a new installation."""

import pytest

from media.settings import AwsSettings
from stores.errors import Denied, Unavailable
from stores.objects.s3 import S3Objects
from tests.stores.objects.buckets import PROCESSED, RAW, behind, raw_client, run_s3
from tests.stores.objects.proxy import Proxy, Status


def test_check_and_create(aws: AwsSettings) -> None:
    async def delete_buckets() -> None:
        async with raw_client(aws) as client:
            for bucket in (RAW, PROCESSED):
                await client.delete_bucket(Bucket=bucket)

    async def life_cycle() -> object:
        async with raw_client(aws) as client:
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

    run_s3(aws, body)


def test_bucket_that_cannot_be_set_up_is_not_left_behind(aws: AwsSettings, proxy: Proxy) -> None:
    fresh = behind(proxy, aws).model_copy(update={"s3rawbucket": "objects-fresh"})
    proxy.once("PUT /objects-fresh?lifecycle", Status(403, "AccessDenied"))

    async def body(store: S3Objects) -> None:
        with pytest.raises(Denied, match="creation in bucket objects-fresh"):
            await store.create()
        assert await store.create() == ["bucket objects-fresh"]
        await store.sweep()
        async with raw_client(aws) as client:
            await client.delete_bucket(Bucket="objects-fresh")

    run_s3(fresh, body)
