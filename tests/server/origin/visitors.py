"""Clients with keep-alive connections that try nothing twice."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field


class _Closed(Exception):
    """Before the first byte of an answer, on a connection that had answered before. HTTP lets a
    server close an idle connection whenever it likes, and clients send such a request again
    (RFC 9112 section 9.3.1)."""


@dataclass(slots=True)
class Visitors:
    port: int
    path: str
    body: bytes
    outcomes: Counter[str] = field(default_factory=Counter)  # "answered", "closed", or a failure
    _leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def visit(self, *, requests_per_connection: int, pause_s: float = 0) -> None:
        """Until `leave`."""
        while not self._leave.is_set():
            try:
                await self._connection(requests_per_connection, pause_s)
            except _Closed:
                self.outcomes["closed"] += 1
            except (OSError, EOFError, ValueError) as exc:
                self.outcomes[repr(exc)] += 1

    def leave(self) -> None:
        self._leave.set()

    async def _connection(self, requests: int, pause_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for n in range(requests):
                if self._leave.is_set() or not await self._request(reader, writer, is_first=n == 0):
                    return
                await asyncio.sleep(pause_s)
        finally:
            writer.transport.abort()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_first: bool
    ) -> bool:
        """Whether the connection stays open."""
        try:
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            first = await reader.readexactly(1)
        except (OSError, EOFError) as exc:
            if is_first:
                raise
            raise _Closed from exc
        head = first + await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(head.split(b"\r\n")[0])
        if await reader.readexactly(len(self.body)) != self.body:
            raise ValueError("another body")
        self.outcomes["answered"] += 1
        return b"\r\nconnection: close\r\n" not in head.lower()
