"""For each alert series that make it fire and series, as near as can be, that do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]
MINUTES = (
    360  # that each series goes on for, a sample a minute; alerts are looked at in the last one
)

HTTP = 'headrace_http_request_duration_seconds_{}{{route="{}",method="{}",{}="{}"}}'
PAGE = "/api/v1/media"
ONE = "/api/v1/media/{id}"
UPLOAD = "/api/v1/upload"


@dataclass(frozen=True, slots=True)
class Case:
    alert: str
    fires: Series
    quiet: tuple[Series, ...]
    severity: str = "warning"
    value: str = ""  # as the description says it
    labels: Mapping[str, str] = field(default_factory=dict)  # beside the severity
    minutes: int = MINUTES


def always(per_minute: float) -> str:
    return f"0+{per_minute}x{MINUTES}"


def lately(per_minute: float, minutes: int, before: float = 0) -> str:
    """A counter that grew otherwise until some minutes ago."""
    turn = MINUTES - minutes
    return f"0+{before}x{turn} {before * turn + per_minute}+{per_minute}x{minutes - 1}"


def until(per_minute: float, minutes_ago: int) -> str:
    turn = MINUTES - minutes_ago
    return f"0+{per_minute}x{turn} {per_minute * turn}x{minutes_ago}"


def level(value: float, minutes: int = MINUTES, before: float = 0) -> str:
    return f"{before}x{MINUTES - minutes} {value}x{minutes}"


def gone(value: float, minutes: int) -> str:
    return f"{value}x{MINUTES - minutes} _x{minutes}"


def api(failed: str, route: str = PAGE) -> Series:
    """A thousand requests a minute succeed."""
    return {
        HTTP.format("count", PAGE, "GET", "status", 200): always(1000),
        HTTP.format("count", route, "GET", "status", 503): failed,
    }


def api_times(quick: str, route: str = PAGE, method: str = "GET") -> Series:
    """Of a thousand requests a minute; another thousand are quick."""
    return {
        HTTP.format("bucket", ONE, "GET", "le", "0.05"): always(1000),
        HTTP.format("count", ONE, "GET", "status", 200): always(1000),
        HTTP.format("bucket", route, method, "le", "0.05"): quick,
        HTTP.format("count", route, method, "status", 200): always(1000),
    }


def origin(**counters: str) -> Series:
    names = ("hits", "misses", "busy", "unavailable", "refusals", "stale")
    told = {**dict.fromkeys(names, always(0)), "hits": always(900), **counters}
    return {
        f'headrace_origin_cache_{name}_total{{instance="o:8080",process="7"}}': series
        for name, series in told.items()
    }


def viewers(waiting: float, watching: float = 100, quick: float = 100) -> Series:
    """`waiting` and `watching` of them at a time; `quick` of 100 a minute start within a second."""
    startup = "headrace_viewer_startup_seconds"
    return {
        'headrace_viewer_played_seconds_total{media="other"}': always(60 * watching),
        'headrace_viewer_rebuffering_seconds_total{media="other"}': always(60 * waiting),
        f'{startup}_bucket{{media="other",le="1.0"}}': always(quick),
        f'{startup}_bucket{{media="other",le="2.0"}}': always(100),
        f'{startup}_bucket{{media="other",le="+Inf"}}': always(100),
    }


def queue(priority: str, age_s: float, workers: int = 1, minutes: int = 30) -> Series:
    return {
        f'headrace_queue_oldest_seconds{{instance="a:8080",priority="{priority}"}}': level(
            age_s, minutes
        ),
        'up{job="worker",instance="w:9100"}': level(workers),
    }


def playable(quick: float) -> Series:
    """`quick` of 100 an hour within a minute."""
    name = "headrace_title_playable_seconds_bucket"
    return {
        f'{name}{{le="60.0"}}': always(quick),
        f'{name}{{le="120.0"}}': always(100),
        f'{name}{{le="+Inf"}}': always(100),
    }


def tasks(failed: float, done: float = 100) -> Series:
    return {
        'headrace_task_failures_total{task="video",reason="timeout"}': always(failed),
        'headrace_task_failures_total{task="title",reason="timeout"}': always(failed),
        'headrace_task_seconds_count{task="video"}': always(done),
    }


def titles(failed: float, reason: str = "timeout", finished: float = 1) -> Series:
    return {
        f'headrace_task_failures_total{{task="title",reason="{reason}"}}': always(failed),
        f'headrace_task_failures_total{{task="video",reason="{reason}"}}': always(9 * failed),
        "headrace_title_ready_seconds_count": always(finished),
    }


def first_failures(count: int, finished: int) -> Series:
    """Of a process that began forty minutes ago, ten minutes after it began."""
    failed = 'headrace_task_failures_total{{task="title",reason="{}"}}'
    return {
        failed.format("timeout"): f"_x320 0x10 {count}x30",
        failed.format("internal"): "_x320 0x40",
        "headrace_title_ready_seconds_count": f"_x320 0x10 {finished}x30",
    }


def two_days(hits_before: int, hits_now: int, misses: int = 100) -> Series:
    hits = f"0+{hits_before}x1440 {hits_before * 1440}+{hits_now}x120"
    return {
        "headrace_origin_cache_hits_total": hits,
        "headrace_origin_cache_misses_total": f"0+{misses}x1560",
    }


def up(job: str, series: str, other: str = "_x360") -> Series:
    return {
        f'up{{job="{job}",instance="1:8080"}}': series,
        f'up{{job="{job}",instance="2:8080"}}': other,
    }


def one(name: str, series: str) -> Series:
    return {name: series}


STORE_UP = 'headrace_store_up{job="api",instance="1:8080",store="catalog"}'
DROPPED = 'headrace_webhook_deliveries_total{outcome="dropped"}'
DISK_ERRORS = 'headrace_origin_cache_disk_{}_total{{instance="o:8080",process="7"}}'
LATE = "headrace_webhook_oldest_undelivered_seconds"


def disk(errors: str, damaged: str) -> Series:
    return {DISK_ERRORS.format("errors"): errors, DISK_ERRORS.format("damaged"): damaged}


def room(free: float, minutes: int = 30) -> Series:
    """Of 100."""
    disk = 'headrace_disk_{}_bytes{{job="worker",instance="w:9101"}}'
    return {
        disk.format("free"): level(free, minutes, before=50),
        disk.format("size"): level(100, before=100),
    }


CASES = (
    Case(
        "ViewersRebuffer",
        viewers(waiting=3),
        (viewers(waiting=0.3), viewers(waiting=1, watching=8)),
        "critical",
        "2.913%",
    ),
    Case("ViewersRebuffer", viewers(waiting=1), (viewers(waiting=0.3),), value="0.9901%"),
    Case(
        "ViewersStartSlowly",
        viewers(0, quick=90),
        (viewers(0, quick=96), viewers(0, watching=8, quick=50)),
        value="1.5s",
    ),
    Case(
        "OriginErrors",
        origin(unavailable=lately(30, 60), misses=always(100)),
        (
            origin(unavailable=lately(3, 60), misses=always(100)),
            origin(unavailable=until(30, 40), misses=always(100)),
        ),
        "critical",
        "3%",
    ),
    Case(
        "OriginErrors",
        origin(busy=always(8), misses=always(100)),
        (origin(busy=always(5), misses=always(100)),),
        value="0.8%",
    ),
    Case("OriginGone", up("origin", gone(1, 10)), (up("origin", level(0), level(1)),), "critical"),
    Case(
        "TokenRefusalsJump",
        origin(refusals=lately(100, 30)),
        (origin(refusals=always(100)), origin(hits=always(9), refusals=lately(50, 30))),
        "critical",
        "10%",
    ),
    Case(
        "ApiErrors",
        api(lately(30, 60)),
        (api(lately(3, 60)), api(lately(30, 60), route="/ready"), api(until(30, 40))),
        "critical",
        "2.913%",
    ),
    Case("ApiErrors", api(always(8)), (api(always(5)),), value="0.7937%"),
    Case(
        "ApiSlow",
        api_times(lately(600, 60, before=1000)),
        (
            api_times(lately(800, 60, before=1000)),
            api_times(always(0), route=UPLOAD, method="POST"),
            api_times(always(0), method="DELETE"),
        ),
        "critical",
        "20%",
    ),
    Case("ApiSlow", api_times(always(840)), (api_times(always(900)),), value="8%"),
    Case(
        "ApiGone",
        up("api", level(0, 10, before=1)),
        (up("api", level(0), level(1)), up("api", level(0, 1, before=1))),
        "critical",
    ),
    Case("TitlesPlayableLate", playable(88), (playable(96),), value="1m 34s"),
    Case(
        "TitlesFail",
        titles(0.2, finished=0.1),
        (titles(0.2, finished=0.3), titles(0.05, finished=0)),
        "critical",
        "12",
    ),
    Case("TitlesFail", titles(0.1), (titles(0.02), titles(0.5, reason="not_media")), value="6"),
    Case(
        "TitlesFail",
        first_failures(6, finished=5),
        (first_failures(5, finished=0), first_failures(6, finished=6)),
        "critical",
        "6",
    ),
    Case("TitlesFail", first_failures(3, finished=0), (first_failures(2, finished=0),), value="3"),
    Case("TasksFail", tasks(15), (tasks(5), tasks(0.1, done=0.2)), value="15%"),
    Case(
        "OriginHitRatioFell",
        two_days(900, 100),
        (two_days(900, 400), two_days(9, 1, misses=1)),
        value="50%",
        minutes=1560,
    ),
    Case(
        "QueueOld",
        queue("high", 90),
        (queue("high", 50),),
        "critical",
        "1m 30s",
        {"priority": "high"},
    ),
    Case(
        "QueueOld",
        queue("normal", 1200),
        (queue("normal", 800), queue("low", 20000), queue("normal", 1200, minutes=5)),
        value="20m 0s",
        labels={"priority": "normal"},
    ),
    Case(
        "QueueOld",
        queue("low", 25200),
        (queue("low", 20000),),
        value="7h 0m 0s",
        labels={"priority": "low"},
    ),
    Case("WebhooksLate", one(LATE, level(900)), (one(LATE, level(500)),), value="15m 0s"),
    Case(
        "WorkersGone",
        queue("normal", 120, workers=0),
        (queue("normal", 120, workers=1), queue("normal", 0, workers=0)),
        "critical",
        "2m 0s",
    ),
    Case(
        "ProcessUnreachable",
        up("api", level(0, 10, before=1), level(1)),
        (up("api", level(0, 3, before=1), level(1)), up("node", level(0))),
        labels={"job": "api", "instance": "1:8080"},
    ),
    Case(
        "JobEngineUnreachable",
        one("headrace_jobs_up", level(0, 5, before=1)),
        (one("headrace_jobs_up", level(1)), one("headrace_jobs_up", level(0, 1, before=1))),
        "critical",
    ),
    Case(
        "StoreUnreachable",
        one(STORE_UP, level(0, 5, before=1)),
        (one(STORE_UP, level(1)), one(STORE_UP, level(0, 1, before=1))),
        "critical",
        labels={"job": "api", "instance": "1:8080", "store": "catalog"},
    ),
    Case(
        "DiskAlmostFull",
        room(2),
        (room(4), room(2, minutes=3)),
        "critical",
        "2%",
        {"job": "worker", "instance": "w:9101"},
    ),
    Case(
        "DiskAlmostFull",
        room(9),
        (room(11), room(9, minutes=10), room(2)),
        value="9%",
        labels={"job": "worker", "instance": "w:9101"},
    ),
    Case(
        "OriginStoreUnreachable",
        origin(stale=lately(1, 5)),
        (origin(misses=always(10)), origin(stale=until(1, 10))),
    ),
    Case(
        "OriginDiskCacheFails",
        disk(lately(1, 10), always(0)),
        (disk(until(1, 20), until(1, 20)),),
        labels={"instance": "o:8080"},
    ),
    Case("WebhooksDropped", one(DROPPED, lately(1, 5)), (one(DROPPED, until(1, 70)),)),
)
