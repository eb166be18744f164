"""The long form of the chaos suite: `python -m tests.chaos`, or `make chaos`."""

import argparse
import asyncio
import contextlib
import random
import sys
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos.campaigns import CAMPAIGNS, ESTATES, Campaign, run_campaign
from tests.chaos.disk import CannotMount
from tests.chaos.report import Progress as StormProgress
from tests.chaos.report import Report

Results = list[tuple[Campaign, Report]]


def main() -> int:
    options = _options()
    console = Console()
    console.print(f"seed {options.seed}; the same again: --seed {options.seed}", highlight=False)
    results: Results = []
    with contextlib.suppress(KeyboardInterrupt):  # then what was done is told
        for campaign in CAMPAIGNS:
            if options.only and campaign.name not in options.only:
                continue
            for estate in campaign.estates:
                if estate in options.estate:
                    results += _run(campaign, estate, options, console)
    _print_counts(console, results)
    violated = any(report.violations for _, report in results)
    console.print("an invariant was violated, see above" if violated else "every invariant held")
    return 1 if violated else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    names = [campaign.name for campaign in CAMPAIGNS]
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--titles", type=int, default=30, help="of each campaign (default: 30)")
    parser.add_argument("--estate", action="append", choices=ESTATES, help="default: all")
    parser.add_argument("--only", action="append", choices=names, help="default: all campaigns")
    options = parser.parse_args()
    options.estate = options.estate or list(ESTATES)
    return options


def _run(campaign: Campaign, estate: str, options: argparse.Namespace, console: Console) -> Results:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("titles settled, {task.fields[acts]} acts, {task.fields[phase]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task(
            f"{campaign.name}, {estate}", total=options.titles, acts=0, phase="starting"
        )

        def show(progress: StormProgress) -> None:
            display.update(
                task, completed=progress.settled, acts=progress.acts, phase=progress.phase
            )

        try:
            report = asyncio.run(run_campaign(campaign, estate, options.titles, options.seed, show))
        except CannotMount as why:
            console.print(f"skipped: {why}")
            return []
    _print_troubles(console, campaign, report)
    return [(campaign, report)]


def _print_counts(console: Console, results: Results) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("campaign", "estate", "titles", "what became of them", "wall s"):
        table.add_column(heading)
    totals: Counter[str] = Counter()
    for campaign, report in results:
        outcomes = ", ".join(f"{count} {what}" for what, count in sorted(report.outcomes.items()))
        row = (campaign.name, report.estate, str(report.titles), outcomes, f"{report.wall_s:.0f}")
        table.add_row(*row)
        for counts in report.counts():
            totals.update(counts)
    console.print(table)
    for what, count in sorted(totals.items()):
        console.print(f"{count:>8}  {what}", highlight=False)


def _print_troubles(console: Console, campaign: Campaign, report: Report) -> None:
    for why in report.ended_by_themselves:
        console.print(f"  {why}", markup=False, highlight=False)
    if report.violations:
        console.print(f"[bold red]{campaign.name}, {report.estate}[/], logs in {report.kept}:")
    for violation in report.violations:
        console.print(f"  {violation}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
