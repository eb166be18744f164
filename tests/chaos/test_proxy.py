"""The proxy against a real server, with a client that knows nothing of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.chaos.proxy import DYNAMODB_THROTTLED, S3_SLOW_DOWN, Fault, Kind, Proxy, running_proxy
from tests.chaos.wire import read_head, request_body

BODY = bytes(range(256)) * 400


class Upstream:
    """Echoes bodies and remembers what it was asked and how much of it came."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.hosts: list[str] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await read_head(reader)) is not None:
                self.heads.append(head.first_line)
                self.hosts.append(head.headers["host"])
                if head.waits_for_continue:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                pieces = [piece async for piece in request_body(reader, head)]
                body = b"".join(pieces) or BODY
                self.bodies.append(body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.bodies.append(b"cut")
        finally:
            writer.close()


@asynccontextmanager
async def proxied(*, http: bool = True) -> AsyncIterator[tuple[Proxy, Upstream, httpx.AsyncClient]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    async with running_proxy(address, http=http) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        async with httpx.AsyncClient(base_url=base, timeout=5) as client:
            yield proxy, upstream, client
    server.close()


@pytest.mark.parametrize("http", [True, False])
def test_proxy_that_was_told_nothing_changes_nothing(http: bool) -> None:
    async def scenario() -> None:
        async with proxied(http=http) as (proxy, upstream, client):
            for _ in range(3):
                assert (await client.get("/a?b=c")).content == BODY
            assert (await client.put("/d", content=BODY)).content == BODY
            waits = {"Expect": "100-continue"}
            assert (await client.put("/e", content=BODY, headers=waits)).content == BODY
            heads = ["GET /a?b=c HTTP/1.1"] * 3 + ["PUT /d HTTP/1.1", "PUT /e HTTP/1.1"]
            assert upstream.heads == heads
            assert set(upstream.hosts) == {f"127.0.0.1:{proxy.port}"}
            assert not proxy.injected

    asyncio.run(scenario())


def test_chunked_bodies_pass() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 1000):
            yield BODY[start : start + 1000]

    async def scenario() -> None:
        async with proxied() as (_, upstream, client):
            assert (await client.put("/", content=pieces())).status_code == 200
            assert upstream.bodies[0].endswith(b"0\r\n\r\n")  # as on the wire

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (S3_SLOW_DOWN, 503, "<Code>SlowDown</Code>"),
        (DYNAMODB_THROTTLED, 400, "ProvisionedThroughputExceededException"),
    ],
)
def test_answers_are_given_in_place_of_the_upstream(answer: bytes, status: int, words: str) -> None:
    async def scenario() -> None:
        async with proxied() as (proxy, upstream, client):
            proxy.inject(Fault(Kind.ANSWER, 1, "busy", answer=answer))
            got = await client.put("/", content=BODY)
            assert (got.status_code, words in got.text) == (status, True)
            assert upstream.heads == []
            proxy.heal()
            assert (await client.get("/")).status_code == 200
            assert proxy.injected == {"busy": 1}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "reached", "whole"),
    [
        (Kind.CUT_REQUEST, True, False),
        (Kind.CUT_RESPONSE, True, True),
        (Kind.LOSE_ANSWER, True, True),
        (Kind.HANG, False, False),
    ],
)
def test_cuts_end_the_request_with_an_error(kind: Kind, reached: bool, whole: bool) -> None:
    async def scenario() -> None:
        async with proxied() as (proxy, upstream, client):
            proxy.inject(Fault(kind, 1, seconds=0.2))
            with pytest.raises(httpx.TransportError):
                await client.put("/", content=BODY)
            assert bool(upstream.heads) is reached
            assert (BODY in upstream.bodies) is whole
            assert proxy.injected == {kind: 1}

    asyncio.run(scenario())


def test_slow_and_late_responses_are_whole() -> None:
    async def scenario() -> None:
        async with proxied() as (proxy, _, client):
            proxy.inject(Fault(Kind.SLOW_RESPONSE, 1, bytes_per_s=2 * len(BODY)))
            assert (await client.get("/")).content == BODY
            proxy.inject(Fault(Kind.DELAY, 1, seconds=0.05))
            assert (await client.get("/")).content == BODY

    asyncio.run(scenario())


def test_shares_and_seeds_decide() -> None:
    async def outcomes(seed: int) -> list[int]:
        upstream = Upstream()
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        async with running_proxy(address, http=True, dice=random.Random(seed)) as proxy:
            proxy.inject(
                Fault(Kind.ANSWER, 1, answer=DYNAMODB_THROTTLED, only="GET /never"),
                Fault(Kind.ANSWER, 0.3, answer=S3_SLOW_DOWN),
            )
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as client:
                found = [(await client.get("/")).status_code for _ in range(60)]
        server.close()
        return found

    first = asyncio.run(outcomes(1))
    assert first == asyncio.run(outcomes(1))
    assert first != asyncio.run(outcomes(2))
    assert 5 < first.count(503) < 35
    assert first.count(503) + first.count(200) == 60


def test_a_partition_holds_everything_until_it_heals() -> None:
    async def scenario() -> None:
        async with proxied() as (proxy, upstream, client):
            await client.get("/before")
            proxy.partition()
            asking = asyncio.create_task(client.put("/during", content=BODY))
            done, _ = await asyncio.wait({asking}, timeout=0.3)
            assert not done and len(upstream.heads) == 1
            proxy.heal()
            assert (await asking).content == BODY

    asyncio.run(scenario())


def test_refused_connections_are_refused_until_accepted() -> None:
    async def scenario() -> None:
        async with proxied() as (proxy, _, client):
            await client.get("/")
            await proxy.refuse()
            with pytest.raises(httpx.TransportError):
                await client.get("/")
            with pytest.raises(httpx.ConnectError):
                await client.get("/")
            await proxy.accept()
            assert (await client.get("/")).content == BODY

    asyncio.run(scenario())
