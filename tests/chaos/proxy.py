"""A proxy on a loopback port that hurts what passes through it, as often as it is told to.

It forwards bytes untouched, the Host header too, so that what a client signed still holds. What it
does to a request is decided once, when its head has arrived, by seeded dice.
"""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.chaos.wire import PIECE_BYTES, Head, read_head, request_body, response_body

Address = tuple[str, int]


class Kind(StrEnum):
    ANSWER = "answer"  # instead of the upstream, which never hears of the request
    DELAY = "delay"
    HANG = "hang"  # the request is heard by nobody and answered by nobody
    CUT_REQUEST = "cut request"  # in the middle of the body, for the upstream too
    CUT_RESPONSE = "cut response"  # in the middle of the body
    SLOW_RESPONSE = "slow response"
    LOSE_ANSWER = "lose answer"  # the upstream has done what it was asked to


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    share: float  # of the requests that match
    name: str = ""  # under which it is counted; default: its kind
    answer: bytes = b""
    seconds: float = 0  # of a delay, at most of a hang
    bytes_per_s: int = 0
    only: str = ""  # regular expression that "METHOD /path" has to match

    @property
    def counted_as(self) -> str:
        return self.name or self.kind

    def matches(self, head: Head) -> bool:
        return re.match(self.only, head.first_line) is not None


def answer(status: str, content_type: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()


def s3_error(status: str, code: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
    return answer(status, "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{text}')


def dynamodb_error(status: str, code: str) -> bytes:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    body = f'{{"__type":"{kind}","message":"injected"}}'
    return answer(status, "application/x-amz-json-1.0", body)


S3_INTERNAL_ERROR = s3_error("500 Internal Server Error", "InternalError")
S3_SLOW_DOWN = s3_error("503 Slow Down", "SlowDown")
DYNAMODB_THROTTLED = dynamodb_error("400 Bad Request", "ProvisionedThroughputExceededException")
DYNAMODB_INTERNAL_ERROR = dynamodb_error("500 Internal Server Error", "InternalServerError")


class Cut(Exception):
    """The connection is to end here, with a reset."""


class Proxy:
    """Made by `running_proxy`. All methods act at once, on open connections too."""

    def __init__(self, upstream: Address, dice: random.Random, *, http: bool) -> None:
        self.injected: Counter[str] = Counter()
        self.port = 0
        self._upstream = upstream
        self._dice = dice
        self._serve = self._serve_http if http else self._serve_bytes
        self._faults: Sequence[Fault] = ()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def inject(self, *faults: Fault) -> None:
        """From now on, instead of what was injected before."""
        self._faults = faults

    def partition(self) -> None:
        """Connections stay open and new ones are made, but not a byte passes in either
        direction; what was sent meanwhile arrives after `heal`, as TCP would deliver it."""
        self.injected["partition"] += 1
        self._flowing.clear()

    def heal(self) -> None:
        self._faults = ()
        self._flowing.set()

    async def refuse(self) -> None:
        """New connections are refused and the open ones are reset."""
        self.injected["refuse"] += 1
        await self._close_server()
        self.reset()

    async def accept(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def close(self) -> None:
        await self._close_server()
        self.reset()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a task of our own, whose cancellation is nobody's business but ours.
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, Cut, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_bytes(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with self._dialled() as (up_reader, up_writer):
            there = asyncio.create_task(self._pump(reader, up_writer))
            back = asyncio.create_task(self._pump(up_reader, writer))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancelled(there, back)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._forward(writer, piece)

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await read_head(reader)) is not None:
            exchange = Exchange(self._dialled, self._forward, head, reader, writer)
            fault = self._choose(head)
            if fault is not None:
                self.injected[fault.counted_as] += 1
            if not await exchange.run(fault):
                return

    def _choose(self, head: Head) -> Fault | None:
        roll = self._dice.random()
        for fault in self._faults:
            if not fault.matches(head):
                continue
            if roll < fault.share:
                return fault
            roll -= fault.share
        return None

    async def _forward(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        await self._flowing.wait()
        writer.write(piece)
        await writer.drain()

    @contextlib.asynccontextmanager
    async def _dialled(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        await self._flowing.wait()
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            yield reader, writer
        except BaseException:
            writer.transport.abort()
            raise
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


Forward = Callable[[asyncio.StreamWriter, bytes], Coroutine[Any, Any, None]]
Dial = Callable[
    [], contextlib.AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
]


class Exchange:
    """One request and its response, over an upstream connection of their own: an idle one that
    the upstream closes would be a fault that nobody injected."""

    def __init__(
        self,
        dial: Dial,
        forward: Forward,
        head: Head,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._dial = dial
        self._forward = forward
        self._head = head
        self._reader = reader
        self._writer = writer

    async def run(self, fault: Fault | None) -> bool:
        """Whether the client's connection may be used for another request. Raises Cut."""
        kind = fault.kind if fault else None
        if fault is not None and kind is Kind.ANSWER:
            return await self._answer(fault.answer)
        if fault is not None and kind is Kind.HANG:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    while await self._reader.read(PIECE_BYTES):
                        pass
            raise Cut
        if fault is not None and kind is Kind.DELAY:
            await asyncio.sleep(fault.seconds)
        return await self._exchange(fault)

    async def _answer(self, text: bytes) -> bool:
        if not self._head.waits_for_continue:  # or the client would be reset before it reads
            async for _ in request_body(self._reader, self._head):
                pass
        await self._forward(self._writer, text)
        return False

    async def _exchange(self, fault: Fault | None) -> bool:
        async with self._dial() as (up_reader, up_writer):
            await self._forward(up_writer, self._head.raw)
            sending = asyncio.create_task(self._send_body(up_writer, fault))
            try:
                answering = asyncio.create_task(self._take_response(up_reader, fault))
                try:
                    await _first_failure(sending, answering)
                finally:
                    await _cancelled(answering)
                sent = sending.done() and sending.exception() is None
                return sent and answering.result()
            finally:
                await _cancelled(sending)

    async def _send_body(self, up_writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        cut = fault is not None and fault.kind is Kind.CUT_REQUEST
        left = (self._head.length or 0) // 2
        async for piece in request_body(self._reader, self._head):
            await self._forward(up_writer, piece[:left] if cut and left < len(piece) else piece)
            left -= len(piece)
            if cut and left <= 0:
                raise Cut
        if cut:  # there was no body to cut
            raise Cut

    async def _take_response(self, up_reader: asyncio.StreamReader, fault: Fault | None) -> bool:
        kind = fault.kind if fault else None
        head = await read_head(up_reader)
        while head is not None and head.status < 200:
            await self._forward(self._writer, head.raw)
            head = await read_head(up_reader)
        if head is None:
            raise Cut
        if kind is Kind.LOSE_ANSWER:
            async for _ in response_body(up_reader, self._head, head):
                pass
            raise Cut
        await self._forward(self._writer, head.raw)
        left = (head.length or 0) // 2
        async for piece in response_body(up_reader, self._head, head):
            if kind is Kind.CUT_RESPONSE and left < len(piece):
                await self._forward(self._writer, piece[:left])
                raise Cut
            left -= len(piece)
            await self._pass(piece, fault if kind is Kind.SLOW_RESPONSE else None)
        if kind is Kind.CUT_RESPONSE:
            raise Cut
        return head.headers.get("connection", "").lower() != "close"

    async def _pass(self, piece: bytes, slowly: Fault | None) -> None:
        step = len(piece) if slowly is None else max(1, slowly.bytes_per_s // 10)
        for start in range(0, len(piece), step):
            await self._forward(self._writer, piece[start : start + step])
            if slowly is not None:
                await asyncio.sleep(0.1)


async def _first_failure(sending: asyncio.Task[None], answering: asyncio.Task[bool]) -> None:
    """Until the answer is through, or either has failed. An upstream that answers before it has
    read the whole request may close its side: its answer counts."""
    await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
    if sending.done() and isinstance(sending.exception(), Cut):
        raise Cut
    await answering


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def running_proxy(
    upstream: Address, *, http: bool, dice: random.Random | None = None
) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream, dice or random.Random(0), http=http)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.close()
