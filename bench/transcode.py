"""The whole ladder of a minute of 1080p: Headrace from the end of the upload to `ready`, beside
ffmpeg's command line making the same renditions in one process.

Same source, sizes, preset, rate control, GOP length and audio; same machine, one after the
other, several rounds in turn. CPU seconds stand beside wall time because machines are shared.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from bench.processes import TreeUsage
from media.ladder import plan_ladder
from media.settings import DEFAULT_PROFILES, FfmpegSettings

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"  # raw, not committed
REPORT = ROOT / "bench" / "transcode.md"
SOURCE_CLIP = ROOT / "tests" / "media" / "hevc-1080p30.mp4"
USER = {"X-User-ID": "bench"}
POLL_S = 0.02  # until the title is playable
SLOW_POLL_S = 0.1  # then: answering is work, too


@dataclass(frozen=True)
class Run:
    who: str
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    bytes: int
    playable_s: float | None = None  # from the end of the upload


def make_source(path: Path, seconds: int) -> None:
    """Real pictures looped to the wanted length, as a phone or an editor would upload them."""
    command = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", str(SOURCE_CLIP)]
    command += ["-t", str(seconds), "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"]
    command += ["-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", str(path)]
    subprocess.run(command, check=True)


def ffmpeg_command(source: Path, out: Path) -> list[str]:
    rungs = plan_ladder(1920, 1080, DEFAULT_PROFILES)
    settings = FfmpegSettings()
    split = f"[0:v]split={len(rungs)}" + "".join(f"[s{n}]" for n in range(len(rungs)))
    scales = [f"[s{n}]scale={r.width}:{r.height}[v{n}]" for n, r in enumerate(rungs)]
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source)]
    command += ["-filter_complex", ";".join([split, *scales])]
    for n, rung in enumerate(rungs):
        command += ["-map", f"[v{n}]", f"-maxrate:v:{n}", str(rung.max_bit_rate)]
        command += [f"-bufsize:v:{n}", str(rung.max_bit_rate * 3 // 2)]
    command += ["-map", "0:a", "-c:v", "libx264", "-preset", settings.preset]
    command += ["-crf", str(settings.crf), "-bf", "2", "-g", "60", "-keyint_min", "60"]
    command += ["-sc_threshold", "0", "-flags", "+cgop", "-pix_fmt", "yuv420p"]
    command += ["-c:a", "aac", "-b:a", str(DEFAULT_PROFILES[0].audiobitrate), "-ac", "2"]
    command += ["-ar", "48000", "-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod"]
    command += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init-%v.mp4"]
    command += ["-hls_segment_filename", str(out / "%v-%05d.m4s"), "-var_stream_map"]
    streams = [f"v:{n},agroup:audio" for n in range(len(rungs))]
    return [*command, " ".join([*streams, "a:0,agroup:audio"]), str(out / "%v.m3u8")]


def run_ffmpeg(source: Path) -> Run:
    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        process = subprocess.Popen(ffmpeg_command(source, Path(out)))
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"ffmpeg failed with status {process.returncode}")
        size = sum(path.stat().st_size for path in Path(out).iterdir())
    return Run("ffmpeg", wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size)


@contextmanager
def service(data: Path) -> Iterator[tuple[str, int]]:
    """A running `headrace up`; its URL and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"STREAM_SERVER_PORT": str(port), "STREAM_DATA_DIR": str(data)}
    headrace = Path(sys.executable).with_name("headrace")
    with (data / "bench.log").open("wb") as log:
        process = subprocess.Popen([headrace, "up"], env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(url, process)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(60)


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("headrace up did not become ready")


def run_headrace(source: Path) -> Run:
    with tempfile.TemporaryDirectory() as data, service(Path(data)) as (url, pid):
        with httpx.Client(base_url=url, headers=USER, timeout=60) as client:
            with source.open("rb") as file:
                answer = client.post("/api/v1/upload", files={"file": (source.name, file)})
            uploaded = time.monotonic()
            answer.raise_for_status()
            with TreeUsage(pid) as tree:
                playable_s, wall_s = wait_for_title(client, answer.json()["id"], uploaded)
        package = Path(data) / "objects" / "v"
        size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    memory_mb = tree.usage.peak_memory_bytes / 1024**2
    return Run("headrace", wall_s, tree.usage.cpu_s, memory_mb, size, playable_s)


def wait_for_title(client: httpx.Client, media_id: str, uploaded: float) -> tuple[float, float]:
    """Seconds from the end of the upload to playable and to ready."""
    playable_s = None
    while True:
        title = client.get(f"/api/v1/media/{media_id}").json()
        now_s = time.monotonic() - uploaded
        if playable_s is None and title["playable"]:
            playable_s = now_s
        if title["status"] == "ready":
            assert playable_s is not None
            return playable_s, now_s
        if title["status"] == "failed":
            sys.exit(f"the title failed: {title['error']}")
        time.sleep(POLL_S if playable_s is None else SLOW_POLL_S)


PEERS = {"ffmpeg": run_ffmpeg, "headrace": run_headrace}
HEADINGS = ("", "wall s", "CPU s", "peak MB", "output MB", "playable s")


def rows(runs: list[Run]) -> list[tuple[str, ...]]:
    """Medians of each, and the ratios that are the claim."""
    ffmpeg, headrace = (_medians([run for run in runs if run.who == who]) for who in PEERS)
    ratios = [ours / theirs for ours, theirs in zip(headrace[:4], ffmpeg[:4], strict=True)]
    return [
        ("ffmpeg", *(f"{value:.1f}" for value in ffmpeg[:4]), "at the end"),
        ("headrace", *(f"{value:.1f}" for value in headrace)),
        ("headrace / ffmpeg", *(f"{ratio:.2f}" for ratio in ratios), ""),
    ]


def _medians(runs: list[Run]) -> list[float]:
    values = [
        median(run.wall_s for run in runs),
        median(run.cpu_s for run in runs),
        median(run.peak_memory_mb for run in runs),
        median(run.bytes for run in runs) / 1e6,
    ]
    playable = [run.playable_s for run in runs if run.playable_s is not None]
    return [*values, median(playable)] if playable else values


def show(console: Console, runs: list[Run], title: str) -> None:
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows(runs):
        table.add_row(*row)
    console.print(table)


def report(runs: list[Run], title: str) -> str:
    """The page that is committed: dated, with the machine and both versions."""
    lines = [
        "# Transcoding beside ffmpeg's command line",
        "",
        f"{title}, {len(runs) // len(PEERS)} rounds in turn on one machine; {date.today()}, "
        f"{os.cpu_count()} cores, {_ffmpeg_version()}, PyAV {version('av')}.",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADINGS, ["---"] * len(HEADINGS), *rows(runs))),
        "",
        "Same source, renditions, preset, rate control, GOPs and audio. Wall time of Headrace is "
        "from the end of the upload to `ready`, verification included; its CPU and memory are "
        "those of all its processes (proportional set size). `playable` is the time to the first "
        "published second of all renditions. Written by `make bench`.",
    ]
    return "\n".join(lines) + "\n"


def _ffmpeg_version() -> str:
    text = subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, text=True).stdout
    return " ".join(text.split()[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip (60)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    options = parser.parse_args()
    console = Console()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        with console.status("making the source"):
            make_source(source, options.seconds)
        for round_number in range(options.rounds):
            for run in PEERS.values():
                with console.status(f"round {round_number + 1}: {run.__name__[4:]}"):
                    runs.append(run(source))
                console.print(f"round {round_number + 1}: {runs[-1]}")
    title = f"The whole ladder of {options.seconds} s of 1080p30"
    show(console, runs, title)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "transcode.json").write_text(json.dumps([asdict(run) for run in runs], indent=1))
    REPORT.write_text(report(runs, title))


if __name__ == "__main__":
    main()
