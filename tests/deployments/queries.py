"""Every query of the dashboards, the rules and the runbooks, and what it asks for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import promql_parser
import yaml

MONITORING = Path(__file__).parents[2] / "deployments" / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((MONITORING / "rules").glob("*.yml"))
RUNBOOKS = sorted((MONITORING.parent / "runbooks").glob("*.md"))
RATE_INTERVAL = "10m"  # for a variable of Grafana: what happened in a test is within it

_RUNBOOK_QUERIES = re.compile(r"^```promql\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LEGEND_LABEL = re.compile(r"{{(\w+)}}")


@dataclass(frozen=True, slots=True)
class Query:
    where: str
    text: str
    legend_labels: tuple[str, ...] = ()

    def parsed(self) -> promql_parser.Expr:
        return promql_parser.parse(self.text)

    def selectors(self) -> list[promql_parser.VectorSelector]:
        found: list[promql_parser.VectorSelector] = []

        def visit(part: promql_parser.Expr) -> None:
            if isinstance(part, promql_parser.VectorSelector):
                found.append(part)
            elif isinstance(part, promql_parser.MatrixSelector):
                found.append(part.vector_selector)

        promql_parser.walk(self.parsed(), visit)
        return list({selector.prettify(): selector for selector in found}.values())

    def grouping(self) -> set[str]:
        labels: set[str] = set()

        def visit(part: promql_parser.Expr) -> None:
            if isinstance(part, promql_parser.AggregateExpr) and part.modifier:
                labels.update(part.modifier.labels)

        promql_parser.walk(self.parsed(), visit)
        return labels


def of_dashboards() -> Iterator[Query]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                text = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
                labels = tuple(_LEGEND_LABEL.findall(target["legendFormat"]))
                yield Query(f"{path.stem}: {panel['title']}", text, labels)


def of_rules() -> Iterator[Query]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield Query(rule.get("record") or rule["alert"], rule["expr"])


def of_runbooks() -> Iterator[Query]:
    for path in RUNBOOKS:
        for block in _RUNBOOK_QUERIES.findall(path.read_text()):
            yield from (Query(path.stem, line) for line in block.splitlines())


def recorded() -> set[str]:
    return {query.where for query in of_rules() if ":" in query.where}
