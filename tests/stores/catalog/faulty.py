"""DynamoDB behind a server that hands requests on and fails as it is told to."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson

Json = dict[str, Any]

LOST = "lost"  # DynamoDB does it, and the connection ends instead of its answer
REFUSED = "refused"  # the connection ends, nothing is done
HALF = "half"  # DynamoDB does the first half of the batch


@dataclass(frozen=True)
class Error:
    """An answer instead of DynamoDB's."""

    code: str
    status: int = 400
    fields: Json = field(default_factory=dict)

    def body(self) -> bytes:
        kind = f"com.amazonaws.dynamodb.v20120810#{self.code}"
        return orjson.dumps({"__type": kind, "message": "because", **self.fields})


THROTTLED = Error("ProvisionedThroughputExceededException")
CONFLICT = Error(
    "TransactionCanceledException",
    fields={"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]},
)

Fault = Error | str | None


@dataclass
class Faulty:
    upstream: str
    endpoint: str = ""
    rule: Callable[[str], Fault] = lambda _: None  # what becomes of an operation
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, operation: str, *faults: Fault) -> None:
        """The next of those operations, in turn."""
        left = list(faults)

        def rule(asked: str) -> Fault:
            return left.pop(0) if left and asked == operation else None

        self.rule = rule

    def fate(self, operation: str) -> Fault:
        with self.lock:
            self.asked[operation] += 1
            return self.rule(operation)


@contextmanager
def faulty(upstream: str) -> Iterator[Faulty]:
    proxy = Faulty(upstream)

    class Handler(_Handler):
        faulty = proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    faulty: Faulty
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        fault = self.faulty.fate(operation)
        if fault == REFUSED:
            self.close_connection = True
        elif isinstance(fault, Error):
            self._answer(fault.status, fault.body())
        elif fault == HALF:
            done, left = _halves(orjson.loads(body))
            status, answer = self._forward(orjson.dumps({"RequestItems": done}))
            name = "UnprocessedKeys" if operation == "BatchGetItem" else "UnprocessedItems"
            self._answer(status, orjson.dumps({**orjson.loads(answer), name: left}))
        else:
            status, answer = self._forward(body)
            if fault == LOST:
                self.close_connection = True
            else:
                self._answer(status, answer)

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        upstream = http.client.HTTPConnection(urlsplit(self.faulty.upstream).netloc, timeout=60)
        try:
            headers = {
                name: value for name, value in self.headers.items() if name != "Content-Length"
            }
            upstream.request("POST", "/", body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _halves(request: Json) -> tuple[Json, Json]:
    ((table, wanted),) = request["RequestItems"].items()
    if isinstance(wanted, list):
        middle = (len(wanted) + 1) // 2
        return {table: wanted[:middle]}, {table: wanted[middle:]}
    middle = (len(wanted["Keys"]) + 1) // 2
    done, left = wanted["Keys"][:middle], wanted["Keys"][middle:]
    return {table: {**wanted, "Keys": done}}, {table: {**wanted, "Keys": left}}
