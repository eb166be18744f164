"""Ranges of one object over one connection at a time, made anew as often as need be."""

import http.client
import itertools
import random
import re
import socket
import ssl
import time
from collections import deque
from urllib.parse import urlsplit

from stores.errors import Conflict, Denied, NotFound, StoreError, Throttled, TimedOut, Unavailable

CONNECT_S = 3
SILENCE_S = 10
BUDGET_S = 60  # of attempts that brought nothing
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 8.0  # at most so long, at random, between two of them
PIECE_BYTES = 64 << 10
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_PASSING = (OSError, http.client.HTTPException)  # of the network


class _Busy(http.client.HTTPException):
    """An answer that another attempt may better."""

    def __init__(self, status: int) -> None:
        super().__init__(f"S3 answered {status}")
        self.status = status


class RangeReader:
    """Every range is of the object that has the etag, or, without one, that was there at first."""

    def __init__(self, url: str, key: str, etag: str | None, ca_file: str) -> None:
        self.size: int | None = None  # known from the first range on
        self._url = url
        self._ca_file = ca_file
        self._name = f"object {key}"
        self._quoted_etag = None if etag is None else f'"{etag}"'
        self._connection: _Connection | None = None

    def read(self, start: int, length: int) -> bytes:
        """Not more than `length`, and at least a byte unless the object is empty."""
        deadline = time.monotonic() + BUDGET_S
        for attempt in itertools.count():
            try:
                return self._attempt(start, length)
            except _PASSING as exc:
                self.close()
                if time.monotonic() > deadline:
                    raise self._gave_up(exc) from exc
            longest_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
            time.sleep(random.uniform(0, longest_s))  # noqa: S311 - jitter
        raise AssertionError

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _attempt(self, start: int, length: int) -> bytes:
        if self._connection is None:
            self._connection = _Connection(self._url, self._ca_file)
        response = self._connection.ask(start, length, self._quoted_etag)
        if response.status == 416 and response.headers["Content-Range"] == "bytes */0":
            self.size = 0
            self.close()
            return b""
        if response.status != 206:
            self.close()
            raise self._refusal(response.status)
        return self._body(response, self._check(response, start))

    def _refusal(self, status: int) -> StoreError | _Busy:
        if status in (408, 429) or status >= 500:
            return _Busy(status)
        if status == 404:
            return NotFound(self._name)
        if status in (412, 416):
            return self._replaced()
        if status in (400, 401, 403):
            return Denied(
                f"{self._name}: S3 answered {status} to its link, which has expired, or the "
                "credentials that made it have"
            )
        return Unavailable(f"{self._name}: S3 answered {status} to a request for a range")

    def _check(self, response: http.client.HTTPResponse, start: int) -> int:
        """How many bytes follow."""
        said = response.headers["Content-Range"] or "none"
        match = _RANGE.fullmatch(said)
        if match is None or int(match[1]) != start or int(match[2]) < start:
            self.close()
            raise Unavailable(f"{self._name}: S3 answered the range {said[:80]} for {start}")
        size = int(match[3])
        if self.size is not None and size != self.size:
            self.close()
            raise self._replaced()
        self.size = size
        self._quoted_etag = self._quoted_etag or response.headers["ETag"]
        return int(match[2]) - start + 1

    def _body(self, response: http.client.HTTPResponse, length: int) -> bytes:
        pieces = []
        try:
            while length and (piece := response.read1(min(length, PIECE_BYTES))):
                pieces.append(piece)
                length -= len(piece)
        except _PASSING:
            if not pieces:
                raise
        if length:  # cut; the next range begins where this one ended
            self.close()
        response.close()
        if not pieces:
            raise http.client.IncompleteRead(b"", length)
        return b"".join(pieces)

    def _replaced(self) -> Conflict:
        return Conflict(f"{self._name} was replaced")

    def _gave_up(self, exc: Exception) -> Unavailable:
        said = f"{self._name}: S3 could not be read for {BUDGET_S} s ({exc!r})"
        if isinstance(exc, TimeoutError):
            return TimedOut(said)
        is_throttled = isinstance(exc, _Busy) and exc.status in (429, 503)
        return Throttled(said) if is_throttled else Unavailable(said)


class _Connection(http.client.HTTPConnection):
    """To addresses that were looked up once: connecting needs no resolver's and no other file."""

    def __init__(self, url: str, ca_file: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        is_encrypted = parts.scheme == "https"
        port = parts.port or (443 if is_encrypted else 80)
        super().__init__(parts.hostname, port)
        self._target = f"{parts.path}?{parts.query}"
        self._named = parts.netloc  # as it was signed
        self._addresses = deque(socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM))
        self._tls = ssl.create_default_context(cafile=ca_file) if is_encrypted else None

    def ask(self, start: int, length: int, quoted_etag: str | None) -> http.client.HTTPResponse:
        headers = {"Host": self._named, "Range": f"bytes={start}-{start + length - 1}"}
        if quoted_etag is not None:
            headers["If-Match"] = quoted_etag
        self.request("GET", self._target, headers=headers)
        return self.getresponse()

    def connect(self) -> None:
        family, kind, protocol, _, address = self._addresses[0]
        self.sock = socket.socket(family, kind, protocol)
        try:
            self.sock.settimeout(CONNECT_S)
            self.sock.connect(address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
            self.sock.settimeout(SILENCE_S)
        except OSError:
            self.close()
            self._addresses.rotate(-1)  # the next attempt tries another one
            raise
