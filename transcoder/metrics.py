"""What one worker process counts, and how it is told to Prometheus.

No label comes from an uploaded file or from a child: there are as many series as there are
profiles, kinds of task and known reasons.
"""

import platform
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)

from media.commit import AUDIO, VIDEO
from media.settings import Settings
from stores.disk import Disk
from stores.wiring import keeps_files

PLAN, JOIN, TITLE = "plan", "join", "title"
TASKS = (PLAN, VIDEO, AUDIO, JOIN)
SOURCE_RUNG = "source"  # a rung of the source's own size is called by its height
REASONS = frozenset(
    {
        *("bad_package", "broken_timestamps", "damaged", "decoder_crashed", "gone", "internal"),
        *("no_streams", "not_media", "outdated", "source_missing", "source_replaced"),
        *("store_unavailable", "timeout", "too_demanding", "too_large", "too_long", "too_slow"),
        *("too_small", "truncated", "undecodable", "unsupported_codec"),
    }
)
OTHER = "other"

_TASK_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
_PLAYABLE_S = (1, 2, 3, 5, 8, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600)
_READY_S = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)
_PUBLISH_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SPEED = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 12, 20, 50)


class WorkerMetrics:
    def __init__(self, settings: Settings) -> None:
        self.registry = registry = CollectorRegistry()
        self._rungs = {AUDIO, *(profile.name for profile in settings.ffmpeg.profiles)}
        build = Info("headrace_build", "What this process is", registry=registry)
        build.info(
            {
                "version": settings.app.version,
                "component": "worker",
                "python": platform.python_version(),
            }
        )
        ProcessCollector(registry=registry)
        if keeps_files(settings):
            registry.register(Disk(settings.data.dir))
        self.children_cpu = Counter(
            "headrace_worker_children_cpu_seconds",
            "Processor time of children that have ended: they decode and encode",
            registry=registry,
        )
        self.tasks_in_progress = Gauge(
            "headrace_tasks_in_progress", "Tasks that this worker runs now", registry=registry
        )
        self._task = self._histogram(
            "task_seconds", "Runs of tasks, however they ended", _TASK_S, "task"
        )
        self._chunk = self._histogram(
            "chunk_seconds",
            "One chunk of a rung, or a title's sound, from the start of its encoder to the last "
            "stored segment",
            _TASK_S,
            "rung",
        )
        self._speed = self._histogram(
            "encode_speed_ratio", "Seconds of media that a second encodes", _SPEED, "rung"
        )
        self.playable = self._histogram(
            "title_playable_seconds", "From the end of the upload until it can play", _PLAYABLE_S
        )
        self.ready = self._histogram(
            "title_ready_seconds", "From the end of the upload until all is encoded", _READY_S
        )
        self.publish = self._histogram(
            "publish_seconds", "Publishing what a title has by now", _PUBLISH_S
        )
        self._failures = Counter(
            "headrace_task_failures",
            "Runs of tasks that failed, most of which are tried again; as `title`: titles that "
            "failed for good",
            ("task", "reason"),
            registry=registry,
        )
        for task in TASKS:
            self._task.labels(task)
        for task in (*TASKS, TITLE):  # so that the first failure is seen as an increase
            for reason in (*REASONS, OTHER):
                self._failures.labels(task, reason)

    def observe_task(self, task: str, seconds: float) -> None:
        self._task.labels(task).observe(seconds)

    def observe_rung(self, name: str, *, wall_s: float, media_s: float) -> None:
        rung = name if name in self._rungs else SOURCE_RUNG
        self._chunk.labels(rung).observe(wall_s)
        if wall_s > 0:
            self._speed.labels(rung).observe(media_s / wall_s)

    def count_failure(self, task: str, code: str) -> None:
        self._failures.labels(task, code if code in REASONS else OTHER).inc()

    def _histogram(
        self, name: str, meaning: str, buckets: Iterable[float], *labels: str
    ) -> Histogram:
        return Histogram(
            f"headrace_{name}", meaning, labels, buckets=tuple(buckets), registry=self.registry
        )
