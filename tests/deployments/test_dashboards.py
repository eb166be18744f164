import json

import pytest

from deployments.monitoring.dashboards import DIRECTORY, render
from deployments.monitoring.panels import BOARDS, Board
from tests.deployments.queries import Query, of_dashboards, of_rules, recorded

EVERYWHERE = {"instance", "job", "le"}  # Prometheus's own


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_committed_dashboard_is_what_its_description_gives(board: Board) -> None:
    assert (DIRECTORY / f"{board.name}.json").read_text() == render(board)


def test_there_is_no_dashboard_without_a_description() -> None:
    assert {path.stem for path in DIRECTORY.iterdir()} == {board.name for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_fill_their_rows_without_overlap(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(render(board))["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("query", [*of_dashboards(), *of_rules()], ids=lambda query: query.where)
def test_a_query_is_valid_and_asks_for_metrics_of_ours(query: Query) -> None:
    for selector in query.selectors():
        name = selector.name or ""
        assert name in recorded() or name == "up" or name.startswith(("headrace_", "process_"))


@pytest.mark.parametrize("query", [*of_dashboards()], ids=lambda query: query.where)
def test_a_legend_names_labels_that_the_query_leaves(query: Query) -> None:
    if query.grouping() - {"le"}:
        assert set(query.legend_labels) <= query.grouping()
    else:
        assert set(query.legend_labels) <= EVERYWHERE | {"priority"}
