"""Where the time of a title goes, told as spans of one trace: of the request that uploaded it, of
its tasks on whichever machines, of its publishing.

Off, which is the default, a span is one that nobody looks at, and OpenTelemetry is not imported;
`otlp` is what it is when `tracing.endpoint` is set.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

SERVER = "server"  # answers a request
CONSUMER = "consumer"  # takes a job from the queue
INTERNAL = "internal"

MEDIA = "headrace.media"
OUTCOME = "headrace.outcome"
ROUTE = "http.route"
METHOD = "http.request.method"
STATUS = "http.response.status_code"

Attributes = Mapping[str, str | int]


class Span:
    """A piece of work while it is done; this one is not told to anybody."""

    def rename(self, name: str) -> None:
        pass

    def note(self, attributes: Attributes) -> None:
        pass


class Tracer:
    def span(self, name: str, kind: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """Below the one that is current, which it is meanwhile."""
        raise NotImplementedError

    def continued(self, parent: str) -> AbstractContextManager[None]:
        """What begins inside is below a span of another process."""
        raise NotImplementedError

    def parent(self) -> str | None:
        """The current span, as W3C Trace Context's `traceparent` names it to other processes."""
        raise NotImplementedError

    def trace_id(self) -> str | None:
        raise NotImplementedError


_tracer: Tracer | None = None
_UNSEEN = nullcontext(Span())


def use(tracer: Tracer | None) -> None:
    """From now on in this process."""
    global _tracer
    _tracer = tracer


def span(
    name: str, attributes: Attributes, *, kind: str = INTERNAL
) -> AbstractContextManager[Span]:
    return _UNSEEN if _tracer is None else _tracer.span(name, kind, attributes)


def continued(parent: str | None) -> AbstractContextManager[object]:
    return _UNSEEN if _tracer is None or parent is None else _tracer.continued(parent)


def parent() -> str | None:
    return None if _tracer is None else _tracer.parent()


def trace_id() -> str | None:
    """Of the current span, for the log and for whoever is told of a failure."""
    return None if _tracer is None else _tracer.trace_id()
