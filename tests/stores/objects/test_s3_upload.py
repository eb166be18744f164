"""Uploads in one part and in many, and what is left of those that fail: nothing."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from media.settings import AwsSettings
from stores.errors import Denied, Throttled, Unavailable
from stores.objects.s3 import MOST_WRITERS, S3Objects
from stores.objects.s3_upload import part_bytes
from tests.stores.objects.backends import keys
from tests.stores.objects.buckets import MIB, behind, run_s3, unfinished
from tests.stores.objects.proxy import Fault, Lost, Proxy, Status


def test_parts_hold_what_s3_holds() -> None:
    sizes = [part_bytes(number) for number in range(1, 10_001)]
    assert sum(sizes) > 5 << 40
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[999], sizes[1000]) == (8 * MIB, 8 * MIB, 16 * MIB)
    assert sizes[-1] <= 5 << 30


def test_uploads_at_a_time_are_as_many_as_memory_holds(aws: AwsSettings) -> None:
    async def body(store: S3Objects) -> None:
        for _ in range(2):  # the places of those that failed are free again
            with pytest.raises(Throttled, match="others are being written here already"):
                async with AsyncExitStack() as uploads:
                    for number in range(MOST_WRITERS + 1):
                        await uploads.enter_async_context(store.writer(f"source/m{number}"))
        async with store.writer("source/m") as writer:
            await writer.write(b"x")
        assert await keys(store) == ["source/m"]

    run_s3(aws, body)


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

    run_s3(behind(proxy, aws), body)


def test_upload_goes_on_after_an_error_to_no_avail(aws: AwsSettings, proxy: Proxy) -> None:
    proxy.once("POST /objects-raw/source/m?uploads", Status(403, "AccessDenied"))

    async def body(store: S3Objects) -> None:
        with pytest.raises(Unavailable, match="a write of this upload had failed"):
            async with store.writer("source/m") as writer:
                with pytest.raises(Denied):
                    await writer.write(bytes(8 * MIB))
                await writer.write(b"the rest")
        assert await keys(store) == []

    run_s3(behind(proxy, aws), body)


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

    run_s3(aws, body)


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

    run_s3(aws, body)


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

    run_s3(behind(proxy, aws), body)
    assert answers == []
