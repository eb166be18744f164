"""What viewers see, and the origin that serves them."""

from deployments.monitoring.panels import (
    CONTROL,
    HTTP,
    MEMORY,
    PLAYED,
    QUICK,
    REBUFFERING,
    SENT,
    Board,
    Panel,
    cache,
    disk,
    quantile,
    quantiles,
    rate,
    ratio,
)

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
