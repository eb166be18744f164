import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.load.targets import DEFAULT_TARGETS, load_targets
from tests.deployments.alert_cases import CASES, Case, Series

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deployments" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
RECORDED = re.compile(r"headrace:[a-z0-9_]+:[a-z0-9_]+")


def rules() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[tuple[str, str], dict[str, Any]]:
    told = [rule for rule in rules() if "alert" in rule]
    by_name = {(rule["alert"], rule["labels"]["severity"]): rule for rule in told}
    assert len(by_name) == len(told)
    return by_name


def promtool(*arguments: str) -> str:
    run = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_rules_and_configuration_are_valid() -> None:
    promtool("check", "rules", *map(str, RULES))
    promtool("check", "config", "--syntax-only", str(MONITORING / "prometheus.yml"))


def test_in_kubernetes_pods_are_scraped_that_say_so_and_are_named_by_component(
    tmp_path: Path,
) -> None:
    """Debian's Prometheus does not find pods itself, so it is told of some."""
    config = yaml.safe_load((MONITORING / "prometheus-kubernetes.yml").read_text())
    assert config.pop("rule_files") == ["rules/*.yml"]
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs")[0]["role"] == "pod"
    job["file_sd_configs"] = [{"files": [str(tmp_path / "pods.json")]}]
    pods = [pod("10.0.0.1:80", "api", "8080", "true"), pod("10.0.0.2", "worker", "9101", "true")]
    pods.append(pod("10.0.0.3:6379", "redis", "6379", "false"))
    (tmp_path / "pods.json").write_text(json.dumps(pods))
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    told = promtool("check", "service-discovery", "--timeout=1s", str(path), job["job_name"])
    found = [target["labels"] for target in json.loads(told)]
    assert [(labels["job"], labels["instance"]) for labels in found if labels] == [
        ("api", "10.0.0.1:8080"),
        ("worker", "10.0.0.2:9101"),
    ]


def test_connections_of_a_pod_are_summed_over_its_processes(tmp_path: Path) -> None:
    """By the rule that the adapter of the HorizontalPodAutoscaler is given."""
    readme = (ROOT / "deployments" / "kubernetes" / "README.md").read_text()
    (written,) = [block for block in YAML_BLOCK.findall(readme) if "metricsQuery" in block]
    (rule,) = yaml.safe_load(written)["rules"]["custom"]
    name = "headrace_origin_connections"
    assert rule["seriesQuery"].startswith(name)
    query = rule["metricsQuery"].replace("<<.Series>>", name).replace("<<.GroupBy>>", "pod")
    series = {
        f'{name}{{namespace="headrace",pod="{pod}",process="{process}"}}': value
        for pod, process, value in (("a", 7, "500"), ("a", 8, "700"), ("b", 7, "30"))
    }
    samples = [{"labels": '{pod="a"}', "value": 1200}, {"labels": '{pod="b"}', "value": 30}]
    asked = query.replace("<<.LabelMatchers>>", 'namespace="headrace"')
    test = {
        "input_series": [{"series": name, "values": value} for name, value in series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": "0m", "exp_samples": samples}],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    promtool("test", "rules", str(path))


def pod(address: str, component: str, port: str, scrape: str) -> dict[str, Any]:
    labels = {
        "annotation_prometheus_io_scrape": scrape,
        "annotation_prometheus_io_port": port,
        "label_app_kubernetes_io_component": component,
    }
    prefix = "__meta_kubernetes_pod_"
    return {"targets": [address], "labels": {prefix + name: to for name, to in labels.items()}}


def test_every_alert_fires_when_it_should_and_not_when_it_should_not(tmp_path: Path) -> None:
    """A file for each alert with nothing but the rules it needs: to evaluate all of them for hours
    takes promtool minutes."""
    tests = []
    for number, case in enumerate(CASES):
        path = tmp_path / f"{number}.rules.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": needed(case)}]}))
        test = {
            "rule_files": [str(path)],
            "evaluation_interval": "3m",
            "tests": list(unit_tests(case)),
        }
        tests.append(tmp_path / f"{number}.yml")
        tests[-1].write_text(yaml.safe_dump(test))
    promtool("test", "rules", *map(str, tests))


def needed(case: Case) -> list[dict[str, Any]]:
    recorded = {rule["record"]: rule for rule in rules() if "record" in rule}
    alert = alerts()[case.alert, case.severity]
    names = dict.fromkeys(RECORDED.findall(alert["expr"]))
    return [*(recorded[name] for name in names), alert]


def unit_tests(case: Case) -> Iterator[dict[str, Any]]:
    alert = {
        "exp_labels": {"severity": case.severity, **case.labels},
        "exp_annotations": annotations(case),
    }
    yield unit_test(case, case.fires, [alert])
    for series in case.quiet:
        yield unit_test(case, series, [])


def unit_test(case: Case, series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
    told = {"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": expected}
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [told],
    }


def annotations(case: Case) -> dict[str, str]:
    """As the templates give them."""
    texts: Mapping[str, str] = alerts()[case.alert, case.severity]["annotations"]
    filled = {}
    for name, text in texts.items():
        text = re.sub(r"{{ \$value \| \w+ }}", case.value, text)
        filled[name] = re.sub(r"{{ \$labels\.(\w+) }}", lambda label: case.labels[label[1]], text)
    return filled


def test_every_alert_has_a_case() -> None:
    assert set(alerts()) == {(case.alert, case.severity) for case in CASES}
    assert all(case.quiet for case in CASES)


@pytest.mark.parametrize(("alert", "severity"), sorted(alerts()))
def test_an_alert_says_what_it_is_how_bad_and_where_to_read_on(alert: str, severity: str) -> None:
    rule = alerts()[alert, severity]
    assert severity in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"deployments/runbooks/{alert}.md"


def test_thresholds_are_the_targets_of_the_load_test() -> None:
    targets = load_targets(DEFAULT_TARGETS)
    told = {name: rule["expr"] for name, rule in alerts().items()}
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for service in ("Api", "Origin"):
        assert f"14.4 * {targets['error_rate']}" in told[f"{service}Errors", "critical"]
        assert f"6 * {targets['error_rate']}" in told[f"{service}Errors", "warning"]
    assert f'le="{targets["api_p99_ms"] / 1000}"' in recorded["headrace:api_slow:ratio_rate1h"]
    assert f"> {targets['rebuffering_ratio']} " in told["ViewersRebuffer", "warning"]
    assert f"> {targets['startup_p95_ms'] / 1000:g} " in told["ViewersStartSlowly", "warning"]
