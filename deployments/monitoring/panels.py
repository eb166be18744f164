"""What a dashboard is made of, and the queries that several of them ask."""

from collections.abc import Mapping
from dataclasses import dataclass

R = "[$__rate_interval]"
HOUR = "[1h]"  # what happens rarely is told over longer
HALF_HOUR = "[30m]"


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str  # Grafana's name of it
    queries: Mapping[str, str]  # by legend, which may name labels
    about: str = ""
    limit: float | None = None  # drawn as a line: what an alert or a target says
    stacked: bool = False
    stat: bool = False  # the value now, instead of its course


@dataclass(frozen=True, slots=True)
class Board:
    name: str
    title: str
    rows: Mapping[str, tuple[Panel, ...]]


def rate(metric: str, by: str = "", match: str = "", over: str = R) -> str:
    return f"{total(by)}(rate({metric}{match}{over}))"


def hourly(metric: str, by: str = "", match: str = "") -> str:
    return f"{total(by)}(increase({metric}{match}{HOUR}))"


def total(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def quantile(share: float, histogram: str, by: str = "", match: str = "", over: str = R) -> str:
    buckets = rate(f"{histogram}_bucket", f"le, {by}" if by else "le", match, over)
    return f"histogram_quantile({share}, {buckets})"


def quantiles(histogram: str, over: str = R) -> dict[str, str]:
    return {f"p{n}": quantile(n / 100, histogram, over=over) for n in (50, 95)}


def ratio(part: str, whole: str) -> str:
    return f"{part} / ({whole} > 0)"


def cache(*names: str, by: str = "") -> str:
    return " + ".join(rate(f"headrace_origin_cache_{name}_total", by) for name in names)


def disk(job: str) -> Panel:
    used = f'1 - headrace_disk_free_bytes{{job="{job}"}} / headrace_disk_size_bytes{{job="{job}"}}'
    about = "Of data.dir; nothing where no file is kept there. An alert says so above 90 %."
    return Panel("Disk in use", "percentunit", {"{{instance}}": used}, about, limit=0.9)


PLAYED = "headrace_viewer_played_seconds_total"
REBUFFERING = "headrace_viewer_rebuffering_seconds_total"
HTTP = "headrace_http_request_duration_seconds"
SENT = "headrace_origin_sent_bytes_total"
MEMORY = "process_resident_memory_bytes"
CONTROL = '{route=~"/api/.*"}'
QUICK = '{route=~"/api/.*", route!~"/api/v1/upload(/[{]id[}])?|.*/events", method!="DELETE"}'
