from collections.abc import Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from media.asset import Priority
from media.settings import Settings
from server.api.viewers import Viewers
from server.origin.app import Origin
from server.origin.stats import METRICS, add_build_info, families
from stores.disk import Disk
from stores.wiring import keeps_files

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class Metrics:
    """What this process counts, its origin's counters included if it has one."""

    def __init__(self, settings: Settings, origin: Origin | None) -> None:
        self._registry = CollectorRegistry()
        add_build_info(self._registry, settings.app.version, "api" if origin is None else "all")
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "headrace_http_request_duration_seconds",
            "Control requests, from the end of the head to the end of the answer",
            ("route", "method", "status"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self.requests_in_progress = Gauge(
            "headrace_http_requests_in_progress",
            "Control requests that are being answered now, open event streams among them",
            registry=self._registry,
        )
        self.upload_bytes = Counter(
            "headrace_upload_bytes", "Bytes of uploaded files", registry=self._registry
        )
        self._jobs = Gauge(
            "headrace_jobs", "Jobs and tasks in the engine", ("state",), registry=self._registry
        )
        self._queue_tasks = Gauge(
            "headrace_queue_tasks", "Tasks that wait", ("priority",), registry=self._registry
        )
        self._queue_oldest = Gauge(
            "headrace_queue_oldest_seconds",
            "How long the oldest task has waited that nobody has begun",
            ("priority",),
            registry=self._registry,
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
        self._store_up = Gauge(
            "headrace_store_up",
            "Whether a store answers; the job engine has a metric of its own",
            ("store",),
            registry=self._registry,
        )
        self.viewers = Viewers()
        self._registry.register(self.viewers)
        if origin is not None:
            self._registry.register(_OriginStats(origin))
        if keeps_files(settings) or (origin is not None and settings.origin.diskcache):
            self._registry.register(Disk(settings.data.dir))

    def observe(self, route: str, method: str, status: int, duration_s: float) -> None:
        self._requests.labels(route, known_method(method), status).observe(duration_s)

    def render(
        self,
        jobs: Mapping[str, int],
        oldest_s: Mapping[Priority, float],
        are_up: Mapping[str, bool],
    ) -> bytes:
        """The first two are empty while the job engine does not answer."""
        for store, is_up in are_up.items():
            self._store_up.labels(store).set(is_up)
        for gauge in (self._jobs, self._queue_tasks, self._queue_oldest):
            gauge.clear()
        self._jobs_up.set(bool(jobs))
        for state, count in jobs.items():
            self._jobs.labels(state).set(count)
        for priority, age_s in oldest_s.items():
            self._queue_tasks.labels(priority).set(jobs[f"waiting-{priority}"])
            self._queue_oldest.labels(priority).set(age_s)
        return generate_latest(self._registry)


def known_method(method: str) -> str:
    """Clients do not get to make labels."""
    return method if method in METHODS else "other"


class _OriginStats(Collector):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def collect(self) -> Iterator[Metric]:
        yield from families(METRICS, {"": self._origin.stats()})
