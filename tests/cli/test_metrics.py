import signal
import socket
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.service import free_port, run, started, until

MEDIA = Path(__file__).parents[1] / "media"
CLIP = MEDIA / "audio-shorter-than-video.mp4"
LADDER = "[{name: 90p, width: 160, height: 90, videobitrate: 100k, audiobitrate: 32k}]"


def samples(url: str) -> dict[str, float]:
    """Without buckets: `name{label="value"}`."""
    found = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            if "le" not in sample.labels:
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def test_worker_tells_what_it_does(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    profiles = {"STREAM_FFMPEG_PROFILES": LADDER}
    with (
        started(tmp_path, command="api", **profiles) as api,
        started(tmp_path, command="worker", STREAM_WORKER_METRICSPORT=str(port), **profiles) as it,
    ):
        until(api.is_ready)
        until(lambda: answers(url))
        failures = [
            f'task_failures_total{{reason="not_media",task="{t}"}}' for t in ("plan", "title")
        ]
        assert [samples(url)[f"headrace_{name}"] for name in failures] == [0, 0]
        bad = tmp_path / "bad.mp4"
        bad.write_bytes(b"no film" * 1000)
        for clip, status in ((CLIP, 0), (bad, 1)):
            sent = run(tmp_path, "upload", str(clip), "--watch", "--url", api.url)
            assert sent.returncode == status, sent.stderr
        assert httpx.get(f"{url}/health").text == "alive\n"
        assert httpx.get(f"{url}/x").status_code == 404
        until(lambda: samples(url)["headrace_tasks_in_progress"] == 0)
        told = samples(url)
        for task, count in {"plan": 2, "video": 1, "audio": 1, "join": 1}.items():
            assert told[f'headrace_task_seconds_count{{task="{task}"}}'] >= count
        for rung in ("90p", "audio"):
            assert told[f'headrace_chunk_seconds_count{{rung="{rung}"}}'] >= 1
            assert told[f'headrace_encode_speed_ratio_sum{{rung="{rung}"}}'] > 0
        playable_s = told["headrace_title_playable_seconds_sum"]
        assert 0 < playable_s <= told["headrace_title_ready_seconds_sum"]
        assert told["headrace_title_ready_seconds_count"] == 1
        assert told["headrace_publish_seconds_count"] >= 2
        assert [told[f"headrace_{name}"] for name in failures] == [1, 1]
        assert told["headrace_worker_children_cpu_seconds_total"] > 0
        assert 0 < told["headrace_disk_free_bytes"] <= told["headrace_disk_size_bytes"]
        assert told["process_resident_memory_bytes"] > 0
        assert any('component="worker"' in name for name in told)
        assert it.stop(signal.SIGTERM) == 0, it.output()
        assert "Traceback" not in it.output()


def test_worker_without_a_port_listens_nowhere(tmp_path: Path) -> None:
    with started(tmp_path, command="worker") as worker:
        until(lambda: (tmp_path / "data" / "run" / "redis.sock").exists())
        until(lambda: worker.child("transcoder.forkserver") is not None)
        assert psutil.Process(worker.process.pid).net_connections("inet") == []
        assert worker.stop(signal.SIGTERM) == 0, worker.output()


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(tmp_path, "worker", STREAM_WORKER_METRICSPORT=str(port))
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
