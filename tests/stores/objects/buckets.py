"""S3 as its own tests use it."""

from __future__ import annotations  # names of stubs

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings
from stores.objects.s3 import ABANDONED_AFTER, S3Objects
from stores.objects.s3_client import S3
from tests.stores.objects.backends import keys
from tests.stores.objects.proxy import Proxy

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

MIB = 1 << 20
RAW, PROCESSED = "objects-raw", "objects-processed"


def aws_settings(server: AwsServer) -> AwsSettings:
    return AwsSettings(
        region=server.region,
        s3endpoint=server.endpoint,
        s3rawbucket=RAW,
        s3processedbucket=PROCESSED,
    )


def behind(proxy: Proxy, aws: AwsSettings) -> AwsSettings:
    return aws.model_copy(update={"s3endpoint": proxy.endpoint})


def run_s3(
    aws: AwsSettings,
    body: Callable[[S3Objects], Coroutine[None, None, None]],
    *,
    abandoned_after: timedelta = ABANDONED_AFTER,
) -> None:
    async def opened() -> None:
        store = S3Objects(aws, abandoned_after=abandoned_after)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(opened())


@asynccontextmanager
async def raw_client(aws: AwsSettings) -> AsyncIterator[S3Client]:
    s3 = S3(aws)
    try:
        async with s3.calling(RAW, "a look behind the store") as client:
            yield client
    finally:
        await s3.close()


async def unfinished(aws: AwsSettings) -> list[str]:
    """The keys of multipart uploads."""
    async with raw_client(aws) as client:
        pages = [await client.list_multipart_uploads(Bucket=name) for name in (RAW, PROCESSED)]
    return [upload["Key"] for page in pages for upload in page.get("Uploads", ())]


async def make_empty(aws: AwsSettings) -> None:
    """New buckets take SeaweedFS a while."""
    store = S3Objects(aws, abandoned_after=timedelta(seconds=-60))
    try:
        if not await store.create():
            for key in await keys(store):
                await store.delete(key)
            await store.sweep()
    finally:
        await store.close()
