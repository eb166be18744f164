import socket
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli import doctor
from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings, DataSettings, Settings
from tests.service import run


def test_machine_that_runs_the_tests_is_well(tmp_path: Path) -> None:
    answer = run(tmp_path, "doctor")
    assert answer.returncode == 0, answer.stdout
    for subject in ("Python", "PyAV", "native modules", "player page", "libx264", "h264_nvenc"):
        assert subject in answer.stdout
    for store in ("objects", "catalog", "jobs", "disk"):
        assert store in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_missing_program_is_named_with_its_remedy(tmp_path: Path) -> None:
    answer = run(tmp_path, "doctor", PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "missing" in answer.stdout
    assert "apt install redis-server" in answer.stdout


def test_little_room_is_said_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 80)
    output = StringIO()
    settings = Settings(data=DataSettings(dir=tmp_path / "data"))
    assert doctor.examine(settings, Console(file=output, width=400))
    (line,) = (line for line in output.getvalue().splitlines() if "GiB free" in line)
    assert line.startswith("advice")
    assert "make room, or set STREAM_DATA_DIR" in line


def test_what_a_new_installation_on_aws_lacks_is_made_once(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    lacking = run(tmp_path, "doctor", **aws)
    assert lacking.returncode == 1
    assert "doctor --create" in lacking.stdout
    name = aws["STREAM_AWS_DYNAMODBTABLE"]
    first = run(tmp_path, "doctor", "--create", COLUMNS="300", **aws)
    assert first.returncode == 0, first.stdout
    made = [line for line in first.stdout.splitlines() if line.startswith("made ")]
    assert made[:3] == [
        f"made bucket {name}-raw",
        f"made bucket {name}-processed",
        f"made DynamoDB table {name}",
    ]
    for where in (f"S3 buckets {name}-raw and {name}-processed", f"DynamoDB table {name}", "clock"):
        assert where in " ".join(first.stdout.split())
    for trait in (f"lifecycle of {name}-raw", f"expiry in {name}", f"recovery of {name}"):
        assert trait in first.stdout
    assert "Redis memory" in first.stdout
    assert "redis-server" not in first.stdout
    again = run(tmp_path, "doctor", "--create", **aws)
    assert again.returncode == 0
    assert "nothing to make: the stores are there" in again.stdout
    assert list(tmp_path.iterdir()) == []


def test_clock_that_is_wrong_is_told(s3_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = AwsSettings(s3rawbucket="a", s3processedbucket="b", s3endpoint=s3_server.endpoint)
    (right,) = doctor._clock(aws)
    assert right.ok
    late = time.time() + 90
    monkeypatch.setattr(time, "time", lambda: late)
    (wrong,) = doctor._clock(aws)
    assert (wrong.ok, wrong.needed) == (False, False)
    assert wrong.found in {"89 s ahead of S3's", "90 s ahead of S3's", "91 s ahead of S3's"}


def test_server_without_a_clock_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        serving = threading.Thread(target=answer)
        serving.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (found,) = doctor._clock(
            AwsSettings(s3rawbucket="a", s3processedbucket="b", s3endpoint=endpoint)
        )
        serving.join()
    assert (found.ok, found.needed) == (False, False)
    assert found.found == f"{endpoint} does not tell the time"
