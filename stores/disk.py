"""How much room there is where a process keeps files, for Prometheus."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Disk(Collector):
    """Tells nothing while the directory is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        try:
            usage = shutil.disk_usage(self._directory)
        except OSError:
            return
        size = ("headrace_disk_size_bytes", "Bytes of the file system of data.dir", usage.total)
        free = ("headrace_disk_free_bytes", "Bytes of it that can still be written", usage.free)
        for name, meaning, value in (size, free):
            yield GaugeMetricFamily(name, meaning, value)
