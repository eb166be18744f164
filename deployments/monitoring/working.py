"""What workers do, and what it all costs."""

from deployments.monitoring.panels import (
    HALF_HOUR,
    MEMORY,
    SENT,
    Board,
    Panel,
    cache,
    disk,
    hourly,
    quantile,
    quantiles,
    rate,
    ratio,
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
