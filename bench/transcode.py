"""The whole ladder of a minute of 1080p: Headrace from the end of the upload to `ready`, beside
ffmpeg's command line making the same renditions in one process.

Same source, sizes, preset, rate control, GOP length and audio; same machine, one after the
other, several rounds in turn. CPU seconds stand beside wall time because machines are shared.
"""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from bench.processes import TreeUsage
from media.ladder import plan_ladder
from media.settings import DEFAULT_PROFILES, FfmpegSettings

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
SOURCE_CLIP = ROOT / "tests" / "media" / "hevc-1080p30.mp4"
USER = {"X-User-ID": "bench"}
POLL_S = 0.02


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
        time.sleep(POLL_S)


def show(console: Console, runs: list[Run], seconds: int) -> None:
    table = Table(title=f"{seconds} s of 1080p30, whole ladder, median of {len(runs) // 2}")
    for heading in ("", "wall s", "CPU s", "peak MB", "output MB", "playable s"):
        table.add_column(heading, justify="right" if heading else "left")
    medians = {}
    for who in ("ffmpeg", "headrace"):
        own = [run for run in runs if run.who == who]
        wall, cpu = median(r.wall_s for r in own), median(r.cpu_s for r in own)
        memory, size = median(r.peak_memory_mb for r in own), median(r.bytes for r in own)
        playable = [r.playable_s for r in own if r.playable_s is not None]
        first = f"{median(playable):.2f}" if playable else "at the end"
        table.add_row(who, f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.0f}", f"{size / 1e6:.1f}", first)
        medians[who] = (wall, cpu)
    ratios = [
        ours / theirs for ours, theirs in zip(medians["headrace"], medians["ffmpeg"], strict=True)
    ]
    table.add_row("headrace / ffmpeg", *(f"{ratio:.2f}" for ratio in ratios), "", "", "")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip (60)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    options = parser.parse_args()
    console = Console()
    RESULTS.mkdir(exist_ok=True)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        with console.status("making the source"):
            make_source(source, options.seconds)
        for round_number in range(options.rounds):
            for run in (run_ffmpeg, run_headrace):
                with console.status(f"round {round_number + 1}: {run.__name__[4:]}"):
                    runs.append(run(source))
                console.print(f"round {round_number + 1}: {runs[-1]}")
    show(console, runs, options.seconds)
    results = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "runs": [asdict(run) for run in runs],
    }
    (RESULTS / "transcode.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
