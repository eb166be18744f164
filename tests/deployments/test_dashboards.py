import json

import pytest

from deployments.monitoring.dashboards import BOARDS, DIRECTORY, render
from deployments.monitoring.panels import Board
from tests.deployments.queries import of_dashboards, of_rules, of_runbooks, recorded

PROMETHEUS_OWN = {"instance", "job"}


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


def test_queries_are_valid_and_ask_for_metrics_of_ours() -> None:
    for query in [*of_dashboards(), *of_rules(), *of_runbooks()]:
        for selector in query.selectors():
            name = selector.name or ""
            ours = name in recorded() or name.startswith(("headrace_", "process_"))
            assert ours or name == "up", f"{query.where}: {name}"


def test_legends_name_labels_that_the_queries_leave() -> None:
    for query in of_dashboards():
        left = query.grouping() - {"le"} or PROMETHEUS_OWN | {"priority"}
        assert set(query.legend_labels) <= left, query.where
