"""What dashboards, rules and runbooks ask for is what running processes export."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import promql_parser
import pytest

from tests.deployments.observed import Observed, observed
from tests.deployments.queries import Query, of_dashboards, of_rules, of_runbooks
from tests.service import until

pytestmark = pytest.mark.deploy

CLIP = Path(__file__).parents[1] / "media" / "odd-161x121-vp9.webm"
USER = {"X-User-ID": "ada"}
TIMES = 20  # that what has happened is scraped before queries are made
EMPTY = {"cost: Read in advance for nothing", "origin: Disk in use"}  # for objects in S3 alone


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with observed(tmp_path_factory.mktemp("observed")) as service:
        before = scrapes(service)
        until(lambda: scrapes(service) > before + 2)  # series that begin at 0 are seen to grow
        use(service)
        before = scrapes(service)
        until(lambda: scrapes(service) > before + TIMES)
        yield service


def scrapes(service: Observed) -> float:
    found = service.query("min(count_over_time(up[1h]))")
    return float(found[0]["value"][1]) if found else 0


def use(service: Observed) -> None:
    assert upload(service, b"No film at all. " * 1000) == "failed"
    assert upload(service, CLIP.read_bytes()) == "ready"
    for title in httpx.get(f"{service.api}/api/v1/media", headers=USER).json()["items"]:
        if title["status"] == "ready":
            watch(service, title["id"])


def upload(service: Observed, content: bytes) -> str:
    files = {"file": ("clip.webm", content)}
    title = httpx.post(f"{service.api}/api/v1/upload", headers=USER, files=files).json()
    url = f"{service.api}/api/v1/media/{title['id']}"
    until(lambda: httpx.get(url, headers=USER).json()["status"] in ("ready", "failed"))
    status: str = httpx.get(url, headers=USER).json()["status"]
    return status


def watch(service: Observed, media_id: str) -> None:
    url = f"{service.api}/api/v1/media/{media_id}/playback"
    playback = httpx.get(url, headers=USER).json()
    for _ in range(3):
        httpx.get(playback["url"]).raise_for_status()
    assert httpx.get(playback["url"].replace("/t/", "/t/x")).status_code == 403
    assert parse_qs(urlsplit(playback["cmcd_url"]).query)["token"]
    for report in ("msd=300,headrace-played=20000,br=800,bsd=(90)",) * 2:
        answer = httpx.post(
            playback["cmcd_url"], content=report, headers={"content-type": "application/cmcd"}
        )
        assert answer.status_code == 204
        assert httpx.get(f"{service.api}/api/v1/media/none", headers=USER).status_code == 404
        time.sleep(1.5)  # a scrape between them, so that counters are seen to grow


def test_every_metric_and_label_that_is_asked_for_is_exported(service: Observed) -> None:
    queries = [*of_dashboards(), *of_rules(), *of_runbooks()]
    for query in queries:
        service.query(query.text)
    missing = {
        f"{query.where}: {problem}"
        for query in queries
        if query.where not in EMPTY
        for problem in unknown(service, query)
    }
    assert not missing, "\n".join(sorted(missing))


def unknown(service: Observed, query: Query) -> Iterator[str]:
    labels: set[str] = set()
    for selector in query.selectors():
        series = service.series(str(selector.name))
        if not series:
            yield f"no series {selector.name}"
        labels.update(name for each in series for name in each)
        for matcher in selector.matchers.matchers:
            values = {each.get(matcher.name) for each in series}
            if values == {None}:
                yield f"{selector.name} has no label {matcher.name}"
            wanted = matcher.op == promql_parser.MatchOp.Equal
            if wanted and matcher.value not in values:
                yield f"{selector.name} has no {matcher.name}={matcher.value!r}, only {values}"
    for name in query.grouping() - labels:
        yield f"no label {name}"


def test_every_panel_shows_something(service: Observed) -> None:
    empty = {query.where for query in of_dashboards() if not service.query(query.text)}
    assert empty == EMPTY


def test_legends_name_labels_that_results_have(service: Observed) -> None:
    for query in of_dashboards():
        for series in service.query(query.text):
            assert set(query.legend_labels) <= set(series["metric"]), query.where


def test_rules_are_evaluated_and_a_healthy_installation_is_not_told_of(service: Observed) -> None:
    groups = httpx.get(f"{service.prometheus}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
    assert not firing
