"""Writes Grafana's dashboards: python -m deployments.monitoring.dashboards."""

from itertools import count
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

from deployments.monitoring.panels import Board, Panel
from deployments.monitoring.watching import ORIGIN, VIEWERS
from deployments.monitoring.working import COST, TRANSCODING

BOARDS = (VIEWERS, ORIGIN, TRANSCODING, COST)

DIRECTORY = Path(__file__).with_name("grafana") / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
WIDTH = 24


def main() -> None:
    for board in BOARDS:
        (DIRECTORY / f"{board.name}.json").write_text(render(board))


def render(board: Board) -> str:
    built = (
        grafana.Dashboard(board.title)
        .uid(f"headrace-{board.name}")
        .tags(["headrace"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(grafana.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )
    ids = count(1)
    for title, panels in board.rows.items():
        built.with_row(grafana.Row(title).id(next(ids)))
        for panel in panels:
            built.with_panel((_stat(panel) if panel.stat else _course(panel)).id(next(ids)))
    return JSONEncoder(indent=2, sort_keys=True).encode(built.build()) + "\n"


def _course(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(WIDTH // 3)
        .height(8)
        .fill_opacity(25 if panel.stacked else 5)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
    )
    for name, (legend, query) in zip(ascii_uppercase, panel.queries.items(), strict=False):
        built.with_target(_query(query, legend).ref_id(name))
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if panel.limit is not None:
        built.thresholds(_limit(panel.limit)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        )
    return built


def _stat(panel: Panel) -> stat.Panel:
    (query,) = panel.queries.values()
    built = (
        stat.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(WIDTH // 6)
        .height(4)
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query(query, panel.title).ref_id("A"))
    )
    if panel.limit is not None:
        built.thresholds(_limit(panel.limit))
    return built


def _query(query: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query).legend_format(legend).range()


def _limit(limit: float) -> grafana.ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=limit, color="red")]
    return grafana.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


if __name__ == "__main__":
    main()
