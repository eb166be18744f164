"""The one client of S3 that all operations share, and how long each may take."""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.httpsession import get_cert_path

from media.settings import AwsSettings
from stores.aws import client_config, open_session
from stores.errors import StoreError
from stores.objects.s3_errors import translated

if TYPE_CHECKING:
    from aiobotocore.config import AioConfig
    from types_aiobotocore_s3.client import S3Client

T = TypeVar("T")
Attributes = dict[str, Any]  # what a write says of its object, by botocore's names

CONNECT_S = 5
SILENCE_S = 20  # to the first byte of an answer, and between two of its pieces
OPERATION_S = 60  # all attempts together, and what the bytes take at the slowest rate
SLOWEST_BYTES_PER_S = 128 << 10
ATTEMPTS = 4
CONNECTIONS = 64
VERIFY_S = 15  # to ask what became of a write
# User metadata that tells the object of one write from that of any other, equal bytes included.
WRITE = "write"
LAST_WORD_S = 10  # that a cancelled caller waits for a write that is already under way


@dataclass(frozen=True, slots=True)
class Place:
    bucket: str
    key: str

    @property
    def name(self) -> str:
        return f"object {self.key}"


class S3:
    def __init__(self, aws: AwsSettings) -> None:
        self._aws = aws
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._client: S3Client | None = None
        self._session = open_session()

    @asynccontextmanager
    async def calling(
        self, bucket: str, what: str, *, body_bytes: int = 0, within_s: float = OPERATION_S
    ) -> AsyncIterator[S3Client]:
        """One request, or few; whoever waits for its turn is not yet on the clock."""
        async with self._turns:
            with translated(bucket, what):
                async with asyncio.timeout(within_s + body_bytes / SLOWEST_BYTES_PER_S):
                    yield await self._opened()

    def ca_file(self) -> str:
        """The certificates that servers are checked by."""
        configured = self._session.get_config_variable("ca_bundle")
        return str(configured or get_cert_path(verify=True))

    async def wrote(self, place: Place, write: str) -> bool:
        """Whether the object is the one of this write, whose own answer did not tell."""
        with suppress(StoreError):
            async with self.calling(place.bucket, place.name, within_s=VERIFY_S) as client:
                head = await client.head_object(Bucket=place.bucket, Key=place.key)
            return head["Metadata"].get(WRITE) == write
        return False

    async def close(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def _opened(self) -> S3Client:
        """Made inside the loop that uses it."""
        async with self._opening:
            if self._client is None:
                opening = self._session.create_client(
                    "s3",
                    region_name=self._aws.region,
                    endpoint_url=self._aws.s3endpoint,
                    config=_config(self._aws),
                )
                self._client = await self._stack.enter_async_context(opening)
        return self._client


async def finished(work: Coroutine[None, None, T]) -> T:
    """A cancelled caller leaves when a write under way has ended, so that it does not land after
    the caller's clean-up; or when it is too late for it to land."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _settled(task)
        raise
    return task.result()


async def _settled(task: asyncio.Future[T]) -> None:
    loop = asyncio.get_running_loop()
    too_late = loop.call_later(LAST_WORD_S, task.cancel)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    too_late.cancel()
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it as lost


def _config(aws: AwsSettings) -> AioConfig:
    """Checksums (CRC32) of what is sent and received are botocore's default."""
    return client_config(
        connect_s=CONNECT_S,
        silence_s=SILENCE_S,
        attempts=ATTEMPTS,
        connections=CONNECTIONS,
        signature_version="s3v4",
        s3={"addressing_style": "path" if aws.s3endpoint else "auto"},
    )
