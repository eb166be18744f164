"""Spans by OpenTelemetry, sent by OTLP over HTTP. The SDK's own variables (OTEL_TRACES_SAMPLER,
OTEL_EXPORTER_OTLP_HEADERS and others) hold for what is not said here."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from media.settings import AppSettings
from stores import tracing

PATH = "/v1/traces"
EXPORT_TIMEOUT_S = 3  # spans are not worth waiting for, least of all when a process ends
TRACEPARENT = "traceparent"

_KINDS = {
    tracing.SERVER: trace.SpanKind.SERVER,
    tracing.CONSUMER: trace.SpanKind.CONSUMER,
    tracing.INTERNAL: trace.SpanKind.INTERNAL,
}
_PROPAGATOR = TraceContextTextMapPropagator()


class OtlpSpan(tracing.Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: tracing.Attributes) -> None:
        self._span.set_attributes(attributes)


class OtlpTracer(tracing.Tracer):
    def __init__(self, endpoint: str, app: AppSettings, component: str) -> None:
        resource = Resource.create(
            {
                "service.name": f"{app.name}-{component}",
                "service.version": app.version,
                "service.instance.id": f"{socket.gethostname()}.{os.getpid()}",
                "deployment.environment.name": app.environment,
            }
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}{PATH}", timeout=EXPORT_TIMEOUT_S)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("headrace", app.version)

    def close(self) -> None:
        """Sends what is left; takes EXPORT_TIMEOUT_S if nobody listens."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, kind: str, attributes: tracing.Attributes) -> Iterator[tracing.Span]:
        started = self._tracer.start_as_current_span(
            name, kind=_KINDS[kind], attributes=attributes, record_exception=False
        )
        with started as span:
            yield OtlpSpan(span)

    @contextmanager
    def continued(self, parent: str) -> Iterator[None]:
        token = context.attach(_PROPAGATOR.extract({TRACEPARENT: parent}))
        try:
            yield
        finally:
            context.detach(token)

    def parent(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)

    def trace_id(self) -> str | None:
        current = trace.get_current_span().get_span_context()
        return trace.format_trace_id(current.trace_id) if current.is_valid else None
