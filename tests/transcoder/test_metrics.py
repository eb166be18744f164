import re
from pathlib import Path

from prometheus_client import generate_latest

from media.settings import Settings
from tests.architecture.sources import ROOT
from transcoder.metrics import OTHER, REASONS, TASKS, TITLE, WorkerMetrics

REASON = re.compile(r'\b(?:Failure|reject|Rejected)\(\s*"([a-z_]+)"')


def reasons_in(path: Path) -> set[str]:
    return set(REASON.findall(path.read_text()))


def test_every_reason_of_the_source_has_its_own_label() -> None:
    modules = [*(ROOT / "transcoder").glob("*.py"), *(ROOT / "stores" / "jobs").glob("*.py")]
    assert set().union(*map(reasons_in, modules)) == REASONS


def test_files_and_children_make_no_labels() -> None:
    metrics = WorkerMetrics(Settings())
    for name in ("720p", "1234p", "4312p"):
        metrics.observe_rung(name, wall_s=2.0, media_s=6.0)
    for code in ("truncated", "made up by a child", "another"):
        metrics.count_failure("plan", code)
    told = generate_latest(metrics.registry).decode()
    assert set(re.findall(r'headrace_chunk_seconds_count{rung="(.*)"}', told)) == {"720p", "source"}
    failures = re.findall(r'task_failures_total{reason="([^"]*)",task="plan"} ([1-9].*)', told)
    assert dict(failures) == {"truncated": "1.0", "other": "2.0"}
    assert 'headrace_encode_speed_ratio_sum{rung="source"} 6.0' in told


def test_every_failure_there_can_be_is_told_before_it_happens() -> None:
    told = generate_latest(WorkerMetrics(Settings()).registry).decode()
    found = re.findall(r'task_failures_total{reason="([^"]*)",task="([^"]*)"} 0.0', told)
    assert set(found) == {
        (reason, task) for reason in (*REASONS, OTHER) for task in (*TASKS, TITLE)
    }
