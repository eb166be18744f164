"""An OpenTelemetry collector: a real HTTP server that decodes what OTLP sends and keeps it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Span:
    trace_id: str
    id: str
    parent_id: str  # "" at the root
    name: str
    kind: int
    service: str
    attributes: dict[str, str]


@dataclass(slots=True)
class Collector:
    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path, headers
    spans: list[Span] = field(default_factory=list)

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def named(self, name: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name == name]


class _Server(ThreadingHTTPServer):
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.collector.requests.append((self.path, dict(self.headers)))
        self.server.collector.spans += _decoded(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _decoded(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        described = {item.key: item.value.string_value for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.kind,
                    described["service.name"],
                    {
                        item.key: item.value.string_value or str(item.value.int_value)
                        for item in span.attributes
                    },
                )


@contextmanager
def collecting() -> Iterator[Collector]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield server.collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
