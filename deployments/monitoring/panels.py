"""What the dashboards show; dashboards.py makes Grafana's JSON of it."""

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

VIEWERS = Board(
    "viewers",
    "Headrace: viewer experience",
    {
        "Now": (
            Panel("Watching", "short", {"": f"round({rate(PLAYED)})"}, stat=True),
            Panel(
                "Time spent waiting",
                "percentunit",
                {"": "headrace:viewer_rebuffering:ratio_rate10m"},
                limit=0.005,
                stat=True,
            ),
            Panel(
                "Start of play, p95",
                "s",
                {"": "headrace:viewer_startup_seconds:p95_rate10m"},
                limit=1,
                stat=True,
            ),
            Panel(
                "Origin errors",
                "percentunit",
                {"": "headrace:origin_errors:ratio_rate5m"},
                limit=0.001,
                stat=True,
            ),
            Panel(
                "Upload to playable, p95",
                "s",
                {"": "headrace:title_playable_seconds:p95_rate30m"},
                limit=60,
                stat=True,
            ),
            Panel(
                "API errors",
                "percentunit",
                {"": "headrace:api_errors:ratio_rate5m"},
                limit=0.001,
                stat=True,
            ),
        ),
        "Viewers": (
            Panel(
                "Watching, by title",
                "short",
                {"{{media}}": f"topk(10, {rate(PLAYED, 'media')} > 0)"},
                "Somebody who watches plays a second per second. `other`: titles beyond the fifty "
                "that have a label of their own.",
                stacked=True,
            ),
            Panel(
                "Time spent waiting",
                "percentunit",
                {"all": ratio(rate(REBUFFERING), f"({rate(PLAYED)} + {rate(REBUFFERING)})")},
                "Of the time that viewers play or wait, seeks apart.",
                limit=0.005,
            ),
            Panel(
                "Time spent waiting, worst titles",
                "percentunit",
                {
                    "{{media}}": "topk(5, "
                    + ratio(
                        rate(REBUFFERING, "media"),
                        f"({rate(PLAYED, 'media')} + {rate(REBUFFERING, 'media')})",
                    )
                    + ")"
                },
                "One title alone: its encoding. All titles: the way to the viewers.",
            ),
            Panel(
                "Start of play",
                "s",
                quantiles("headrace_viewer_startup_seconds"),
                limit=1,
            ),
            Panel(
                "Interruptions per hour of play",
                "short",
                {
                    "all": f"3600 * "
                    f"{ratio(rate('headrace_viewer_rebufferings_total'), rate(PLAYED))}"
                },
            ),
            Panel(
                "Bit rate played",
                "bps",
                {"mean": ratio(rate("headrace_viewer_played_bits_total"), rate(PLAYED))},
                "Falls when players choose lower rungs: a slower network, or a rung is missing.",
            ),
        ),
        "Control API": (
            Panel(
                "Requests",
                "reqps",
                {"{{method}} {{route}}": rate(f"{HTTP}_count", "method, route", CONTROL)},
                stacked=True,
            ),
            Panel(
                "Time to answer",
                "s",
                {f"p{n:g}": quantile(n / 100, HTTP, match=QUICK) for n in (50, 99)},
                "Without bodies of uploads, event streams and deletions.",
                limit=0.05,
            ),
            Panel(
                "Errors",
                "reqps",
                {
                    "{{status}} {{route}}": rate(
                        f"{HTTP}_count", "status, route", '{status=~"4..|5.."}'
                    )
                },
                stacked=True,
            ),
            Panel(
                "In progress",
                "short",
                {"{{instance}}": "headrace_http_requests_in_progress"},
                "Open event streams among them.",
                stacked=True,
            ),
            Panel(
                "CPU",
                "short",
                {"{{instance}}": rate("process_cpu_seconds_total", "instance", '{job="api"}')},
                "1 is a core.",
            ),
            Panel(
                "Events told to the webhook",
                "cps",
                {"{{outcome}}": rate("headrace_webhook_deliveries_total", "outcome")},
                "failed: tried again later. dropped: given up.",
                stacked=True,
            ),
            disk("api"),
        ),
    },
)

ORIGIN = Board(
    "origin",
    "Headrace: origin",
    {
        "Traffic, errors, latency's causes": (
            Panel(
                "Requests, by answer",
                "reqps",
                {"{{status_class}}": rate("headrace_origin_requests_total", "status_class")},
                stacked=True,
            ),
            Panel(
                "Hit ratio",
                "percentunit",
                {
                    "memory": ratio(cache("hits"), f"({cache('hits', 'misses')})"),
                    "memory or disk": ratio(
                        f"({cache('hits', 'disk_hits')})", f"({cache('hits', 'misses')})"
                    ),
                },
            ),
            Panel(
                "Misses",
                "reqps",
                {
                    "waited for a read under way": cache("waits"),
                    "found on disk": cache("disk_hits"),
                    "answered with what had expired": cache("stale"),
                    "all": cache("misses"),
                },
            ),
            Panel(
                "Failures",
                "reqps",
                {
                    "503: store did not answer": cache("unavailable"),
                    "503: too many waited": cache("busy"),
                },
                stacked=True,
            ),
            Panel(
                "Refused: no token that gives access",
                "reqps",
                {"{{instance}}": cache("refusals", by="instance")},
                stacked=True,
            ),
            Panel(
                "Clients cut for taking too little",
                "cps",
                {"{{instance}}": cache("slow_readers", by="instance")},
                stacked=True,
            ),
        ),
        "Cache": (
            Panel(
                "Memory that objects take",
                "bytes",
                {"{{instance}}": "sum by (instance) (headrace_origin_cache_bytes)"},
                stacked=True,
            ),
            Panel(
                "Objects",
                "short",
                {"{{instance}}": "sum by (instance) (headrace_origin_cache_entries)"},
                stacked=True,
            ),
            Panel(
                "Dropped and turned away",
                "cps",
                {
                    "dropped from memory": cache("evictions"),
                    "too large for memory": cache("rejections"),
                    "dropped from disk": cache("disk_evictions"),
                },
                "Much is dropped while the hit ratio falls: the cache is too small.",
            ),
            Panel(
                "Segments read in advance",
                "cps",
                {"read": cache("prefetches"), "asked for": cache("prefetch_uses")},
            ),
            Panel(
                "Disk",
                "cps",
                {
                    "written": cache("disk_writes"),
                    "damaged": cache("disk_damaged"),
                    "could not be used": cache("disk_errors"),
                },
            ),
            Panel(
                "Reads under way",
                "short",
                {"{{instance}}": "sum by (instance) (headrace_origin_cache_fetches)"},
                "From the store or the disk, or waiting for their turn.",
            ),
        ),
        "Saturation": (
            Panel(
                "Connections",
                "short",
                {"{{instance}}": "sum by (instance) (headrace_origin_connections)"},
                stacked=True,
            ),
            Panel(
                "CPU",
                "short",
                {"{{instance}}": rate("process_cpu_seconds_total", "instance", '{job="origin"}')},
                "1 is a core.",
            ),
            Panel(
                "Resident memory",
                "bytes",
                {"{{instance}}": f'sum by (instance) ({MEMORY}{{job="origin"}})'},
            ),
            Panel("Sent", "Bps", {"{{instance}}": rate(SENT, "instance")}, stacked=True),
            disk("origin"),
        ),
    },
)

TRANSCODING = Board(
    "transcoding",
    "Headrace: transcoding",
    {
        "From upload to play": (
            Panel(
                "Upload to playable",
                "s",
                quantiles("headrace_title_playable_seconds", HALF_HOUR),
                limit=60,
            ),
            Panel("Upload to ready", "s", quantiles("headrace_title_ready_seconds", HALF_HOUR)),
            Panel(
                "Titles per hour",
                "short",
                {
                    "ready": hourly("headrace_title_ready_seconds_count"),
                    "failed": hourly("headrace_task_failures_total", match='{task="title"}'),
                },
                stacked=True,
            ),
        ),
        "Queue": (
            Panel(
                "Tasks that wait",
                "short",
                {"{{priority}}": "max by (priority) (headrace_queue_tasks)"},
                stacked=True,
            ),
            Panel(
                "Age of the oldest task that waits",
                "s",
                {"{{priority}}": "headrace:queue_oldest_seconds:max"},
                "An alert says so after 1 min (high), 15 min (normal), 6 h (low).",
            ),
            Panel(
                "Jobs and tasks in the engine",
                "short",
                {
                    "{{state}}": "max by (state) "
                    '(headrace_jobs{state=~"active|delayed|waiting-children|failed"})'
                },
                "delayed: tried again soon, or waiting for a store. failed: see `headrace jobs`.",
            ),
        ),
        "Work": (
            Panel(
                "Tasks in progress",
                "short",
                {"{{instance}}": "headrace_tasks_in_progress"},
                stacked=True,
            ),
            Panel(
                "Speed against real time, median",
                "short",
                {
                    "{{rung}}": quantile(
                        0.5, "headrace_encode_speed_ratio", "rung", over=HALF_HOUR
                    ),
                },
                "Seconds of media that a second encodes. All rungs of a chunk share its cores.",
                limit=1,
            ),
            Panel(
                "One chunk, p95",
                "s",
                {"{{rung}}": quantile(0.95, "headrace_chunk_seconds", "rung", over=HALF_HOUR)},
            ),
            Panel(
                "Tasks, p95",
                "s",
                {"{{task}}": quantile(0.95, "headrace_task_seconds", "task", over=HALF_HOUR)},
            ),
            Panel(
                "Failures by reason, per hour",
                "short",
                {"{{task}}: {{reason}}": hourly("headrace_task_failures_total", "task, reason")},
                "Of a task: most are tried again. Of a title: it failed for good.",
                stacked=True,
            ),
            Panel("Publishing", "s", quantiles("headrace_publish_seconds")),
            disk("worker"),
        ),
    },
)

COST = Board(
    "cost",
    "Headrace: cost",
    {
        "What is paid by the hour": (
            Panel(
                "Processes",
                "short",
                {"{{component}}": "sum by (component) (headrace_build_info)"},
                stacked=True,
            ),
            Panel(
                "Tasks in progress",
                "short",
                {"all workers": "sum(headrace_tasks_in_progress)"},
                "What the machines of workers are paid for. Workers without tasks are too many.",
            ),
            Panel(
                "Resident memory",
                "bytes",
                {"{{job}}": f"sum by (job) ({MEMORY})"},
                stacked=True,
            ),
        ),
        "What is paid by use": (
            Panel(
                "Uploaded",
                "Bps",
                {"all": rate("headrace_upload_bytes_total")},
                "Through the API; kept in the bucket of originals.",
            ),
            Panel(
                "Sent by origins",
                "Bps",
                {"all": rate(SENT)},
                "To the CDN: bodies and heads. What the CDN sends to viewers is beside it.",
            ),
            Panel(
                "Played, as encoded",
                "bps",
                {"all": rate("headrace_viewer_played_bits_total")},
                "What reporting players took from the CDN, about: what the CDN bills as egress.",
            ),
            Panel(
                "Reads that the store bills, at most",
                "reqps",
                {
                    "misses": f"clamp_min({cache('misses')} - ({cache('waits', 'disk_hits')}), 0)",
                    "read in advance": cache("prefetches"),
                },
                stacked=True,
            ),
            Panel(
                "Work per title: time in tasks",
                "s",
                {
                    "per finished title": ratio(
                        hourly("headrace_task_seconds_sum"),
                        hourly("headrace_title_ready_seconds_count"),
                    )
                },
                "Times the price of a worker's slot: what a title costs.",
            ),
            Panel(
                "Work per title: processor time",
                "s",
                {
                    "per finished title": ratio(
                        hourly("headrace_worker_children_cpu_seconds_total"),
                        hourly("headrace_title_ready_seconds_count"),
                    )
                },
                "Of decoding and encoding, failed attempts included. Times the price of a core.",
            ),
            Panel(
                "Read in advance for nothing",
                "percentunit",
                {
                    "share": ratio(
                        f"clamp_min({cache('prefetches')} - {cache('prefetch_uses')}, 0)",
                        cache("prefetches"),
                    )
                },
            ),
            Panel(
                "Work done in vain",
                "percentunit",
                {"runs of tasks that failed": "headrace:task_failures:ratio_rate30m"},
            ),
        ),
    },
)

BOARDS = (VIEWERS, ORIGIN, TRANSCODING, COST)
