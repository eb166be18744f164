"""S3 behind a server that hands requests on and fails as it is told to."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_ERROR = "<Error><Code>{}</Code><Message>{}</Message><StringToSign>secret</StringToSign></Error>"
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


@dataclass(frozen=True)
class Status:
    """An answer instead of S3's."""

    status: int
    code: str
    message: str = "because"


@dataclass(frozen=True)
class Lost:
    """S3 does it, and its answer ends after so many bytes; None: there is none."""

    sent: int | None = None


@dataclass(frozen=True)
class Silence:
    pass


@dataclass(frozen=True)
class Answer:
    """A 200 instead of S3's own answer."""

    body: str


Fault = Status | Answer | Lost | Silence | None


@dataclass
class Proxy:
    """Requests are `PUT /bucket/key?query`; `faults` takes one and says what becomes of it."""

    upstream: str
    endpoint: str = ""
    faults: Callable[[str], Fault] = lambda _: None
    seen: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def once(self, start: str, fault: Fault) -> None:
        """For the next request that starts so."""
        left = [fault]
        self.faults = lambda request: left.pop() if left and request.startswith(start) else None


@contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)

    class Handler(_Handler):
        to = proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()  # joins the threads of the handlers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1
    to: Proxy

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the client went away
            self.close_connection = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        request = f"{self.command} {self.path}"
        self.to.seen.append(request)
        fault = self.to.faults(request)
        if isinstance(fault, Status):
            text = _ERROR.format(fault.code, fault.message).encode()
            self._answer(fault.status, {}, text)
        elif isinstance(fault, Answer):
            self._answer(200, {}, fault.body.encode())
        elif isinstance(fault, Silence):
            self.to.stopped.wait()
            self.close_connection = True
        else:
            self._forward(body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle

    def _forward(self, body: bytes, fault: Lost | None) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.to.upstream).netloc, timeout=60)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _HOP or name.lower() == "content-length"
        }
        connection.request(self.command, self.path, body, headers)
        with connection.getresponse() as response:
            data = response.read()
        connection.close()
        if fault is None:
            self._answer(response.status, dict(response.headers.items()), data)
            return
        if fault.sent is not None:
            self._answer(response.status, dict(response.headers.items()), data, fault.sent)
        self.close_connection = True

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None
    ) -> None:
        self.send_response_only(status)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
