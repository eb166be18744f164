"""Draws the dashboards' panels with what a Prometheus has, where there is no Grafana:

    python -m deployments.monitoring.preview http://127.0.0.1:9090 DIRECTORY [MINUTES]

Layout, queries, legends, units and limits are those of the JSON; the drawing is not Grafana's.
"""

import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from deployments.monitoring.dashboards import DIRECTORY, WIDTH

CELL_INCHES = (0.75, 0.36)
POINTS = 180
RATE_INTERVAL = "1m"
PREFIXES = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
UNITS = {"reqps": "req/s", "cps": "/s", "Bps": "B/s", "bps": "bit/s", "bytes": "B", "short": ""}

Course = tuple[str, list[float], list[float]]  # legend, times, values


def main() -> None:
    prometheus, directory, *minutes = sys.argv[1:]
    for path in sorted(DIRECTORY.glob("*.json")):
        draw(json.loads(path.read_text()), prometheus, float(minutes[0]) if minutes else 10)
        plt.savefig(Path(directory) / f"{path.stem}.png", dpi=70)
        plt.close()


def draw(dashboard: Mapping[str, Any], prometheus: str, minutes: float) -> None:
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(WIDTH * CELL_INCHES[0], height * CELL_INCHES[1]))
    figure.suptitle(dashboard["title"], y=1 - 0.1 / height)
    for panel in panels:
        at = panel["gridPos"]
        left, top = at["x"] / WIDTH, 1 - at["y"] / height
        if panel["type"] == "row":
            figure.text(0.005, top - 0.9 / height, panel["title"], weight="bold")
            continue
        w, h = at["w"] / WIDTH, at["h"] / height
        low = 0.12 if panel["type"] == "stat" else 0.24  # below it stands the legend
        axes = figure.add_axes((left + w * 0.15, top - h * (1 - low), w * 0.8, h * (0.88 - low)))
        axes.set_title(panel["title"], fontsize=9, loc="left")
        _panel(axes, panel, _courses(prometheus, panel, minutes))


def _courses(prometheus: str, panel: Mapping[str, Any], minutes: float) -> list[Course]:
    end = time.time()
    span = {"start": end - 60 * minutes, "end": end, "step": 60 * minutes / POINTS}
    found = []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        answer = httpx.get(
            f"{prometheus}/api/v1/query_range", params={"query": query, **span}
        ).raise_for_status()
        for series in answer.json()["data"]["result"]:
            legend = _legend(target["legendFormat"], series["metric"])
            times, values = zip(*series["values"], strict=True)
            found.append((legend, list(times), [float(value) for value in values]))
    return found


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), template)


def _panel(axes: Axes, panel: Mapping[str, Any], courses: list[Course]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    limit = next((s["value"] for s in defaults.get("thresholds", {}).get("steps", ())[1:]), None)
    if not courses:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
    elif panel["type"] == "stat":
        value = courses[0][2][-1]
        colour = "black" if limit is None else "red" if value >= limit else "green"
        said = _amount(value, defaults["unit"])
        axes.text(0.5, 0.5, said, ha="center", size=20, color=colour, transform=axes.transAxes)
    if panel["type"] == "stat":
        axes.set_axis_off()
        return
    _course(axes, courses, "stacking" in defaults["custom"])
    if limit is not None:
        axes.axhline(limit, color="red", linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _amount(v, defaults["unit"])))
    axes.tick_params(labelsize=7)
    axes.set_xticks([])
    if courses:
        axes.legend(fontsize=6, ncols=3, loc="upper left", bbox_to_anchor=(-0.1, -0.03))


def _course(axes: Axes, courses: list[Course], stacked: bool) -> None:
    base: dict[float, float] = {}
    for legend, times, values in courses:
        below = [base.get(t, 0.0) if stacked else 0.0 for t in times]
        shown = [value + under for value, under in zip(values, below, strict=True)]
        axes.plot(times, shown, linewidth=1, label=legend)
        if stacked:
            axes.fill_between(times, below, shown, alpha=0.3)
            base.update(zip(times, shown, strict=True))


def _amount(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.2%}"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    factor, prefix = next(((f, p) for f, p in PREFIXES if abs(value) >= f), (1, " "))
    return f"{value / factor:.3g}{prefix}{UNITS[unit]}".rstrip()


if __name__ == "__main__":
    main()
