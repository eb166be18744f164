"""What the job engine holds, as tables or as JSON."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from media.asset import Priority
from media.settings import Settings
from stores.errors import Denied
from stores.jobs.base import FailedJob, Jobs
from stores.wiring import backends, open_jobs

STATES = {
    "active": "running",
    "delayed": "put off: tried again soon, or waiting for a store",
    "waiting-children": "titles waiting for their tasks",
    "failed": "failed titles and tasks that are remembered",
}


@dataclass(frozen=True, slots=True)
class Report:
    where: str
    counts: dict[str, int]
    workers: dict[str, int] | None  # None: the engine does not tell
    failed: tuple[FailedJob, ...]


def show(settings: Settings, limit: int, console: Console, *, as_json: bool) -> None:
    """Raises Unavailable."""
    report = asyncio.run(_look(settings, limit))
    if as_json:
        print(json.dumps(_plain(report), indent=2, ensure_ascii=False))
        return
    console.print(report.where, markup=False, highlight=False)
    for table in (_queue(report), _workers(report), _failures(report)):
        console.print()
        console.print(table)


async def _look(settings: Settings, limit: int) -> Report:
    jobs = open_jobs(settings)
    try:
        await jobs.check()
        return Report(
            backends(settings)["jobs"],
            await jobs.counts(),
            await _ask_for_workers(jobs),
            await jobs.failed(limit),
        )
    finally:
        await jobs.close()


async def _ask_for_workers(jobs: Jobs) -> dict[str, int] | None:
    try:
        return await jobs.workers()
    except Denied:  # a user who may do all that the service needs may not list connections
        return None


def _plain(report: Report) -> dict[str, object]:
    return {
        "engine": report.where,
        "counts": report.counts,
        "workers": report.workers,
        "failed": [
            {
                "media_id": job.media_id,
                "code": job.failure.code,
                "message": job.failure.message,
                "retryable": job.failure.retryable,
                "failed_at": _time(job).isoformat(timespec="milliseconds"),
            }
            for job in report.failed
        ],
    }


def _queue(report: Report) -> Table:
    table = _table("jobs and tasks", "")
    for priority in Priority:
        name = f"waiting, {priority} priority"
        table.add_row(name, str(report.counts[f"waiting-{priority}"]))
    for state, name in STATES.items():
        table.add_row(name, str(report.counts[state]))
    return table


def _workers(report: Report) -> Table:
    table = _table("worker (host.process)", "tasks at a time")
    if not report.workers:
        table.add_row("none" if report.workers is not None else "not told", "")
    for name, slots in sorted((report.workers or {}).items()):
        table.add_row(Text(name), str(slots))
    return table


def _failures(report: Report) -> Table:
    table = _table("failed title", "code", "message", "when (UTC)")
    if not report.failed:
        table.add_row("none", "", "", "")
    for job in report.failed:
        when = f"{_time(job):%Y-%m-%d %H:%M:%S}"
        # Text: a message may look like markup
        table.add_row(*map(Text, (job.media_id, job.failure.code, job.failure.message, when)))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _time(job: FailedJob) -> datetime:
    return datetime.fromtimestamp(job.failed_at_ms / 1000, UTC)
