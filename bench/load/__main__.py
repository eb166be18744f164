import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

import bench.load
from bench.load.report import page, table
from bench.load.shapes import DURATIONS_S, SHAPES
from bench.load.targets import DEFAULT_TARGETS, InvalidTargets, load_targets
from bench.transcode import service, wait_for_title

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"  # not committed
REPORT = ROOT / "bench" / "load.md"
CLIPS = [
    ROOT / "tests" / "media" / name
    for name in ("hevc-1080p30.mp4", "bbb-720p24-30s-vp8-vorbis.webm")
]
LIBRARY = "load"
STOP_TIMEOUT_S = 20  # for operators to delete what they have uploaded


def main() -> None:
    options = parse()
    try:
        load_targets(options.targets)
    except InvalidTargets as error:
        sys.exit(str(error))
    options.results.mkdir(parents=True, exist_ok=True)
    others, *_ = os.getloadavg()
    console = Console()
    with host(options.host) as url:
        console.print(f"Load on {url}")
        prepare(url, options.media_host)
        with console.status(f"{options.users} users, {options.shape}, {options.duration:g} s"):
            status = run_locust(url, options)
    told = json.loads((options.results / "load.json").read_text())
    console.print(table(told))
    console.print(f"Report: {options.results / 'load.html'}")
    if options.host is None and options.targets == DEFAULT_TARGETS:
        options.report.write_text(page(told, vars(options), others))
    sys.exit(status)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=bench.load.__doc__)
    parser.add_argument("--host", type=origin, help="an installation; default: one started here")
    parser.add_argument(
        "--media-host", type=origin, action="append", default=[], help="that playback URLs lead to"
    )
    parser.add_argument("--shape", choices=SHAPES, default="steady")
    parser.add_argument("--users", type=int, default=30, help="viewers and operators (30)")
    parser.add_argument("--operators", type=int, default=2, help="of all users (2)")
    parser.add_argument("--duration", type=float, help="seconds; by default as the shape says")
    parser.add_argument("--processes", type=int, default=1, help="that make the load (1)")
    parser.add_argument("--targets", type=Path, default=DEFAULT_TARGETS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    if options.users <= options.operators:
        parser.error(f"{options.users} users leave no viewer beside {options.operators} operators")
    options.duration = options.duration or DURATIONS_S[options.shape]
    return options


def origin(url: str) -> str:
    parts = urlsplit(url)
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or url.rstrip("/") != bare:
        raise argparse.ArgumentTypeError(f"expected http://host:port, got {url!r}")
    return bare


@contextmanager
def host(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as data, service(Path(data)) as (url, _):
        yield url


def prepare(url: str, media_hosts: list[str]) -> None:
    """There have to be titles to watch, where this run may load them from."""
    with httpx.Client(base_url=url, headers={"X-User-ID": LIBRARY}, timeout=60) as client:
        try:
            titles = _titles(client) or _package(client)
            playback = client.get(f"/api/v1/media/{titles[0]}/playback")
        except httpx.TransportError as error:
            sys.exit(f"{url} does not answer: {error}")
    playback.raise_for_status()
    parts = urlsplit(playback.json()["url"])
    media_host = f"{parts.scheme}://{parts.netloc}"
    if media_host not in (url, *media_hosts):
        sys.exit(f"playback URLs of {url} lead to {media_host}: name it with --media-host")


def _titles(client: httpx.Client) -> list[str]:
    listed = client.get("/api/v1/media", params={"limit": 100})
    listed.raise_for_status()
    return [title["id"] for title in listed.json()["items"] if title["playable"]]


def _package(client: httpx.Client) -> list[str]:
    """They stay, for the next run."""
    media_ids = []
    for clip in CLIPS:
        print(f"packaging {clip.name}", file=sys.stderr)
        with clip.open("rb") as file:
            answer = client.post("/api/v1/upload", files={"file": (clip.name, file)})
        answer.raise_for_status()
        media_ids.append(answer.json()["id"])
        wait_for_title(client, media_ids[-1], time.monotonic())
    return media_ids


def run_locust(url: str, options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "locust", "-f", "bench/load/locustfile.py", "--headless"]
    command += ["--only-summary", "--stop-timeout", str(STOP_TIMEOUT_S)]
    command += ["--host", url, "--users", str(options.users)]
    command += ["--operators", str(options.operators), "--library", LIBRARY]
    command += ["--shape", options.shape, "--duration", str(options.duration)]
    command += ["--html", str(options.results / "load.html")]
    command += ["--figures", str(options.results / "load.json"), "--targets", str(options.targets)]
    if options.media_host:
        command += ["--media-host", *options.media_host]
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    command += ["--logfile", str(options.results / "load.log")]
    command += ["--json-file", str(options.results / "load-locust")]  # instead of its tables
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main()
