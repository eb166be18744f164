"""Objects in two buckets of Amazon S3, or of another server that speaks its protocol.

    <raw bucket>        source/<media>       uploaded originals
    <processed bucket>  v/<media>/...        packages, and whatever else

S3 splits a bucket into partitions by ranges of keys, each of which takes 3,500 writes and 5,500
reads per second, and splits further where the load is. Media ids are random hexadecimal digits,
so `source/<media>` and `v/<media>` divide evenly from the first character behind the constant
prefix, and no title's load falls together with that of the titles made before and after it.

What a PUT or the completion of a multipart upload has made can be read and listed at once
everywhere: nothing is listed before it is readable.
"""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import io
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from media.settings import AwsSettings
from stores.errors import Conflict, Denied, NotFound, StoreError, Throttled
from stores.objects.base import (
    ObjectInfo,
    ObjectStore,
    ObjectWriter,
    Source,
    UploadRules,
    UploadTarget,
)
from stores.objects.keys import split_key, split_prefix
from stores.objects.s3_buckets import check_bucket, make_bucket
from stores.objects.s3_client import S3, WRITE, Attributes, Place, finished
from stores.objects.s3_deletion import delete_keys
from stores.objects.s3_errors import BROKEN_BODY, Undecided
from stores.objects.s3_source import S3Source
from stores.objects.s3_target import upload_target
from stores.objects.s3_traits import cors, lifecycle
from stores.objects.s3_upload import UNDER_WAY_BYTES, Budget, S3Writer
from stores.trait import Trait

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import MultipartUploadTypeDef, ObjectTypeDef

RAW = "source/"
ABANDONED_AFTER = timedelta(hours=48)  # an upload that takes longer has no writer any more
BODY_ATTEMPTS = 4
DECISION_ATTEMPTS = 6
MOST_WRITERS = 128  # each fills a part in memory, of 8 MiB at first: 1 GiB
# A task takes its source at its start and may run for `worker.jobtimeout`. Credentials of a role
# may end sooner, and the link with them: the task then finds the store denied and is run again.
SOURCE_LIFETIME_S = 24 * 3600


class S3Objects(ObjectStore):
    def __init__(self, aws: AwsSettings, *, abandoned_after: timedelta = ABANDONED_AFTER) -> None:
        if aws.s3rawbucket is None or aws.s3processedbucket is None:
            raise ValueError("aws.s3rawbucket and aws.s3processedbucket must be set")
        self._aws = aws
        self._raw, self._processed = aws.s3rawbucket, aws.s3processedbucket
        self._abandoned_after = abandoned_after
        self._s3 = S3(aws)
        self._budget = Budget(UNDER_WAY_BYTES)
        self._writers = 0

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[ObjectWriter]:
        place = self._place(key)
        if self._writers == MOST_WRITERS:
            raise Throttled(f"{place.name}: {MOST_WRITERS} others are being written here already")
        writer = S3Writer(self._s3, place, self._attributes(place), self._budget)
        self._writers += 1
        try:
            yield writer
            await writer.finish()
        except BaseException:
            await finished(writer.abort())
            raise
        finally:
            self._writers -= 1

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        return await finished(self._put(self._place(key), data))

    async def put_if(self, key: str, data: bytes, *, etag: str | None) -> ObjectInfo:
        return await finished(self._put_if(self._place(key), data, etag))

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        place = self._place(key)
        for attempt in itertools.count(1):
            async with self._s3.calling(place.bucket, place.name) as client:
                answer = await client.get_object(Bucket=place.bucket, Key=key)
                try:
                    async with answer["Body"] as body:
                        data = await body.read()
                    return data, ObjectInfo(key, len(data), _unquoted(answer["ETag"]))
                except BROKEN_BODY:
                    if attempt == BODY_ATTEMPTS:
                        raise
            await _pause_after(attempt)
        raise AssertionError

    async def head(self, key: str) -> ObjectInfo:
        place = self._place(key)
        async with self._s3.calling(place.bucket, place.name) as client:
            head = await client.head_object(Bucket=place.bucket, Key=key)
        return ObjectInfo(key, head["ContentLength"], _unquoted(head["ETag"]))

    async def source(self, key: str, *, etag: str | None = None) -> Source:
        place = self._place(key)
        async with self._s3.calling(place.bucket, place.name) as client:
            url = await client.generate_presigned_url(
                "get_object",
                Params={"Bucket": place.bucket, "Key": key},
                ExpiresIn=SOURCE_LIFETIME_S,
            )
        return S3Source(url, key, etag, self._s3.ca_file())

    async def upload_target(self, key: str, rules: UploadRules) -> UploadTarget | None:
        place = self._place(key)
        async with self._s3.calling(place.bucket, place.name) as client:
            return await upload_target(client, place, rules, self._attributes(place))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        split_prefix(prefix)
        for bucket in self._buckets(prefix):
            async for page in self._pages(bucket, prefix):
                for entry in page:
                    if _is_key(entry["Key"]):  # others keep folders and the like in buckets
                        yield ObjectInfo(entry["Key"], entry["Size"], _unquoted(entry["ETag"]))

    async def delete(self, key: str) -> None:
        place = self._place(key)
        async with self._s3.calling(place.bucket, place.name) as client:
            await client.delete_object(Bucket=place.bucket, Key=key)

    async def delete_prefix(self, prefix: str) -> int:
        if not prefix.endswith("/"):
            raise ValueError(f"a prefix to delete must end in '/', got {prefix[:200]!r}")
        split_prefix(prefix)
        count = 0
        for bucket in self._buckets(prefix):
            async for page in self._pages(bucket, prefix):
                await delete_keys(self._s3, bucket, [entry["Key"] for entry in page])
                count += len(page)
        return count

    async def sweep(self, *, dry_run: bool = False) -> Sequence[str]:
        """A bucket's life cycle does the same after days; see `create`."""
        names = []
        oldest = datetime.now(UTC) - self._abandoned_after
        for bucket in (self._raw, self._processed):
            async for upload in self._uploads(bucket):
                if upload["Initiated"] < oldest:
                    if not dry_run:
                        await self._abort(bucket, upload)
                    begun = f"{upload['Initiated']:%Y-%m-%d}"
                    names.append(f"upload of {upload['Key']} to bucket {bucket}, begun {begun}")
        return names

    async def create(self) -> Sequence[str]:
        made = [
            bucket
            for bucket in (self._raw, self._processed)
            if await make_bucket(self._s3, bucket, self._aws)
        ]
        return [f"bucket {bucket}" for bucket in made]

    async def traits(self, pages: Sequence[str]) -> Sequence[Trait]:
        return [
            *await lifecycle(self._s3, self._raw, keeps_packages=False),
            *await lifecycle(self._s3, self._processed, keeps_packages=True),
            *await cors(self._s3, self._raw, pages),
        ]

    async def check(self) -> None:
        await asyncio.gather(
            *(check_bucket(self._s3, bucket) for bucket in (self._raw, self._processed))
        )

    async def close(self) -> None:
        await self._s3.close()

    def _place(self, key: str) -> Place:
        split_key(key)
        return Place(self._raw if key.startswith(RAW) else self._processed, key)

    def _buckets(self, prefix: str) -> Sequence[str]:
        if prefix.startswith(RAW):
            return (self._raw,)
        return (self._raw, self._processed) if RAW.startswith(prefix) else (self._processed,)

    def _attributes(self, place: Place) -> Attributes:
        """What every write says of its object; encryption with a key of KMS's takes one request
        to it per bucket and hour or so, not one per object."""
        attributes: Attributes = {}
        if self._aws.s3encryption != "none":
            attributes["ServerSideEncryption"] = self._aws.s3encryption
        if self._aws.s3encryption == "aws:kms":
            attributes["BucketKeyEnabled"] = True
            if self._aws.s3kmskey is not None:
                attributes["SSEKMSKeyId"] = self._aws.s3kmskey
        if place.bucket == self._processed and self._aws.s3storageclass != "STANDARD":
            attributes["StorageClass"] = self._aws.s3storageclass
        return attributes

    async def _put(self, place: Place, data: bytes, **more: Any) -> ObjectInfo:
        async with self._s3.calling(place.bucket, place.name, body_bytes=len(data)) as client:
            answer = await client.put_object(
                Bucket=place.bucket,
                Key=place.key,
                Body=io.BytesIO(data),  # aiohttp warns of large bytes
                **self._attributes(place),
                **more,
            )
        return ObjectInfo(place.key, len(data), _unquoted(answer["ETag"]))

    async def _put_if(self, place: Place, data: bytes, etag: str | None) -> ObjectInfo:
        write = token_hex(8)
        for attempt in itertools.count(1):
            try:
                return await self._put_once(place, data, etag, write)
            except Undecided:
                if attempt == DECISION_ATTEMPTS:
                    raise
            await _pause_after(attempt)
        raise AssertionError

    async def _put_once(
        self, place: Place, data: bytes, etag: str | None, write: str
    ) -> ObjectInfo:
        """The answer to a second attempt may be a conflict with the first one, and after none at
        all the object may be there: then the object itself is asked."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": f'"{etag}"'}
        try:
            return await self._put(place, data, Metadata={WRITE: write}, **condition)
        except NotFound as exc:
            raise Conflict(f"{place.name} was deleted by somebody else meanwhile") from exc
        except Denied:
            raise
        except StoreError:
            if not await self._s3.wrote(place, write):
                raise
            return await self.head(place.key)

    async def _pages(self, bucket: str, prefix: str) -> AsyncIterator[Sequence[ObjectTypeDef]]:
        more: dict[str, Any] = {}
        while True:
            async with self._s3.calling(bucket, f"the list of objects below {prefix!r}") as client:
                page = await client.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
            yield page.get("Contents", ())
            if not page["IsTruncated"]:
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _uploads(self, bucket: str) -> AsyncIterator[MultipartUploadTypeDef]:
        more: dict[str, Any] = {}
        while True:
            async with self._s3.calling(bucket, "the list of unfinished uploads") as client:
                page = await client.list_multipart_uploads(Bucket=bucket, **more)
            for upload in page.get("Uploads", ()):
                yield upload
            if not page["IsTruncated"]:
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    async def _abort(self, bucket: str, upload: MultipartUploadTypeDef) -> None:
        async with self._s3.calling(bucket, f"the upload of {upload['Key']}") as client:
            with suppress(client.exceptions.NoSuchUpload):  # ended by somebody else meanwhile
                await client.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )


async def _pause_after(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter


def _unquoted(etag: str) -> str:
    return etag.removeprefix('"').removesuffix('"')


def _is_key(key: str) -> bool:
    try:
        split_key(key)
    except ValueError:
        return False
    return True
