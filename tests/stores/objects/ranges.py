"""A server of one object that counts what it sends and fails as it is told to."""

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stores.objects.s3_source import S3Source

ETAG = "0a1b"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True)
class Status:
    code: int


@dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes of the body; None: before the answer."""

    sent: int | None


@dataclass(frozen=True)
class Stall:
    """Nothing more comes after so many bytes of the body."""

    sent: int


Fault = Status | Cut | Stall | None


@dataclass
class Served:
    data: bytes
    fault_of: Callable[[int], Fault] = lambda _: None  # by the number of the request, from 0
    etag: str = ETAG
    asked: list[range] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def source(self, etag: str | None = ETAG, ca_file: Path | None = None) -> S3Source:
        return S3Source(self.url, "source/m", etag, str(ca_file))

    @property
    def bytes_sent(self) -> int:
        return sum(map(len, self.asked))


@contextmanager
def serving(served: Served, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    handler = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme, name = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    served.url = f"{scheme}://{name}:{server.server_port}/bucket/source/m?X-Amz-Signature=abc"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        served.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()  # joins the threads of the handlers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1
    served: Served

    def setup(self) -> None:
        super().setup()
        self.served.connections += 1

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        served = self.served
        number = len(served.asked)
        match = _RANGE.fullmatch(self.headers["Range"])
        assert match is not None
        asked = range(int(match[1]), min(int(match[2]) + 1, len(served.data)))
        served.asked.append(asked)
        fault = served.fault_of(number)
        if isinstance(fault, Status):
            self._refuse(fault.code)
        elif self.headers["If-Match"] not in (None, f'"{served.etag}"'):
            self._refuse(412)
        elif fault == Cut(None):
            self.close_connection = True
        else:
            self._send(asked, fault)

    def _refuse(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"<xml>")

    def _send(self, asked: range, fault: Fault) -> None:
        served = self.served
        self.send_response(206)
        size = len(served.data)
        self.send_header("Content-Range", f"bytes {asked.start}-{asked.stop - 1}/{size}")
        self.send_header("Content-Length", str(len(asked)))
        self.send_header("ETag", f'"{served.etag}"')
        self.end_headers()
        body = served.data[asked.start : asked.stop]
        if isinstance(fault, (Cut, Stall)):
            body = body[: fault.sent]
        self.wfile.write(body)
        if isinstance(fault, Stall):
            served.stopped.wait()
        if fault is not None:
            self.close_connection = True
