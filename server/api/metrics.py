from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.api.viewers import Viewers
from server.origin.app import Origin
from server.origin.stats import METRICS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class Metrics:
    """What this process counts, its origin's counters included if it has one."""

    def __init__(self, origin: Origin | None) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "headrace_http_request_duration_seconds",
            "Control requests, from the end of the head to the end of the answer",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.upload_bytes = Counter(
            "headrace_upload_bytes", "Bytes of uploaded files", registry=self._registry
        )
        self._jobs = Gauge(
            "headrace_jobs", "Jobs and tasks in the engine", ("state",), registry=self._registry
        )
        self._jobs_up = Gauge(
            "headrace_jobs_up", "Whether the job engine answers", registry=self._registry
        )
        self.webhook_deliveries = Counter(
            "headrace_webhook_deliveries",
            "Attempts to deliver an event: delivered, failed (tried again later), dropped",
            ("outcome",),
            registry=self._registry,
        )
        for outcome in ("delivered", "failed", "dropped"):
            self.webhook_deliveries.labels(outcome)
        self.webhook_oldest = Gauge(
            "headrace_webhook_oldest_undelivered_seconds",
            "Age of the oldest event that this process could not deliver yet",
            registry=self._registry,
        )
        self.viewers = Viewers()
        self._registry.register(self.viewers)
        if origin is not None:
            self._registry.register(_OriginStats(origin))

    def observe(self, route: str, method: str, status: int, duration_s: float) -> None:
        known = method if method in METHODS else "other"  # clients do not get to make labels
        self._requests.labels(route, known, status).observe(duration_s)

    def render(self, jobs: Mapping[str, int] | None) -> bytes:
        """`jobs` is None while the job engine does not answer."""
        self._jobs.clear()
        self._jobs_up.set(jobs is not None)
        for state, count in (jobs or {}).items():
            self._jobs.labels(state).set(count)
        return generate_latest(self._registry)


class _OriginStats(Collector):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def collect(self) -> Iterator[Metric]:
        stats = self._origin.stats()
        for metric in METRICS:
            family = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            value = getattr(stats, metric.name)
            yield family(f"headrace_origin_cache_{metric.name}", metric.meaning, value)
