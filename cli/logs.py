"""One event per line on standard error, in colour for people or as JSON for machines.

Events of the standard library's logging take the same way.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from media.settings import LogSettings
from stores import tracing

REQUESTS = ("server.api",)  # the page asks every second: a person reads the rest
CHATTY = ("aiobotocore", "asyncio", "botocore", "httpcore", "httpx", "python_multipart")


def configure_logging(settings: LogSettings, *, colour: bool | None = None) -> None:
    """Without `colour`, standard error being a terminal decides."""
    colour = sys.stderr.isatty() if colour is None else colour
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings, colour),
            ],
        )
    )
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for name in (*CHATTY, *(REQUESTS if colour and settings.level != "debug" else ())):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class _StandardError(logging.Handler):
    """Looks sys.stderr up for each event: a progress bar stands in for it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def _renderers(settings: LogSettings, colour: bool) -> list[Processor]:
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [_on_one_line, structlog.dev.ConsoleRenderer(colors=colour, exception_formatter=plain)]


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (trace_id := tracing.trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Names chosen by strangers end up in events: one with a line break must not forge a line."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(
                char if char.isprintable() else char.encode("unicode_escape").decode()
                for char in value
            )
    return event
