"""Streaming into S3: a small object by one PUT, a larger one by a multipart upload."""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import io
from collections.abc import Coroutine
from secrets import token_hex
from typing import TYPE_CHECKING

import structlog

from stores.errors import StoreError, Unavailable
from stores.objects.base import ObjectWriter
from stores.objects.s3_client import S3, WRITE, Attributes, Place, finished

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

# S3 takes 10,000 parts of an object of up to 5 TiB. Sizes double every thousand parts: 16 MiB at
# 20 GiB, and 10,000 parts hold 7.8 TiB.
FIRST_PART_BYTES = 8 << 20
PARTS_OF_A_SIZE = 1000
UNDER_WAY_BYTES = 64 << 20  # of all writers of a store together, beside a part that each fills
ABORT_S = 15
COMPLETE_S = 300  # S3 may assemble thousands of parts for minutes

_log = structlog.get_logger("stores.objects")


def part_bytes(number: int) -> int:
    """How large the part is, counted from 1, unless it is the last."""
    return FIRST_PART_BYTES << ((number - 1) // PARTS_OF_A_SIZE)


class Budget:
    """Bytes that may be under way at once; what is larger than all of it goes alone."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        while self._free < min(size, self._total):
            self._freed.clear()
            await self._freed.wait()
        self._free -= min(size, self._total)

    def give(self, size: int) -> None:
        self._free += min(size, self._total)
        self._freed.set()


class S3Writer(ObjectWriter):
    """`attributes` go with the object: encryption, storage class."""

    def __init__(self, s3: S3, place: Place, attributes: Attributes, budget: Budget) -> None:
        self._s3 = s3
        self._place = place
        self._budget = budget
        self._write_id = token_hex(8)
        self._attributes: Attributes = {**attributes, "Metadata": {WRITE: self._write_id}}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._upload_id: str | None = None
        self._parts: list[asyncio.Task[CompletedPartTypeDef]] = []
        self._whole = True
        self._failure: BaseException | None = None

    async def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= part_bytes(len(self._parts) + 1):
            await self._send()

    async def flush(self) -> None:
        self._check()
        if self._waiting_bytes:
            await self._send()
        if self._parts:
            await asyncio.wait(self._parts, return_when=asyncio.FIRST_EXCEPTION)
            self._check()

    async def finish(self) -> None:
        if self._upload_id is None:
            self._check()
            await finished(self._verified(self._put()))
        else:
            await self.flush()
            await finished(self._verified(self._complete()))

    async def abort(self) -> None:
        for part in self._parts:
            part.cancel()
        if self._parts:
            await asyncio.wait(self._parts)
        if self._upload_id is not None:
            await self._abort(self._upload_id)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._whole:
            raise Unavailable("a write of this upload had failed; it cannot become an object")

    async def _send(self) -> None:
        self._check()
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._whole = False
        if self._upload_id is None:
            await finished(self._begin())
        await self._budget.take(len(data))
        part = asyncio.create_task(self._upload(len(self._parts) + 1, data))
        self._parts.append(part)
        part.add_done_callback(lambda done: self._sent(done, len(data)))
        self._whole = True

    def _sent(self, part: asyncio.Task[CompletedPartTypeDef], size: int) -> None:
        self._budget.give(size)
        if not part.cancelled():
            error = part.exception()  # retrieved, or asyncio logs it as lost
            self._failure = self._failure or error

    async def _begin(self) -> None:
        place = self._place
        async with self._s3.calling(place.bucket, place.name) as client:
            begun = await client.create_multipart_upload(
                Bucket=place.bucket, Key=place.key, ChecksumAlgorithm="CRC32", **self._attributes
            )
        self._upload_id = begun["UploadId"]

    async def _upload(self, number: int, data: bytes) -> CompletedPartTypeDef:
        place = self._place
        assert self._upload_id is not None
        async with self._s3.calling(place.bucket, place.name, body_bytes=len(data)) as client:
            part = await client.upload_part(
                Bucket=place.bucket,
                Key=place.key,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=io.BytesIO(data),  # aiohttp warns of large bytes
                ChecksumAlgorithm="CRC32",
            )
        completed: CompletedPartTypeDef = {"PartNumber": number, "ETag": part["ETag"]}
        if "ChecksumCRC32" in part:  # not every other S3 knows it
            completed["ChecksumCRC32"] = part["ChecksumCRC32"]
        return completed

    async def _put(self) -> None:
        place, data = self._place, b"".join(self._waiting)
        async with self._s3.calling(place.bucket, place.name, body_bytes=len(data)) as client:
            await client.put_object(
                Bucket=place.bucket, Key=place.key, Body=io.BytesIO(data), **self._attributes
            )

    async def _complete(self) -> None:
        place = self._place
        assert self._upload_id is not None
        async with self._s3.calling(place.bucket, place.name, within_s=COMPLETE_S) as client:
            await client.complete_multipart_upload(
                Bucket=place.bucket,
                Key=place.key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": [part.result() for part in self._parts]},
            )
        self._upload_id = None

    async def _verified(self, work: Coroutine[None, None, None]) -> None:
        """An answer that was lost, or that a second attempt got, does not say what was done."""
        try:
            await work
        except StoreError:
            if not await self._s3.wrote(self._place, self._write_id):
                raise
            self._upload_id = None

    async def _abort(self, upload_id: str) -> None:
        place = self._place
        try:
            async with self._s3.calling(place.bucket, place.name, within_s=ABORT_S) as client:
                await client.abort_multipart_upload(
                    Bucket=place.bucket, Key=place.key, UploadId=upload_id
                )
        except StoreError as error:  # the sweep, or the bucket's life cycle, gets it
            _log.warning("an upload was left unfinished", key=place.key, problem=str(error))
