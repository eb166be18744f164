"""What is served: files of one size each, and the viewing sessions of a really packaged title."""

import gzip
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.transcode import USER, make_source, service, wait_for_title

SIZES = {"1 KB": 1 << 10, "16 KB": 16 << 10, "256 KB": 256 << 10, "1 MB": 1 << 20, "2 MB": 2 << 20}
SESSION_MIX = "session mix"
CLIP_S = 30
TITLES = 20
ZIPF_EXPONENT = 1.0  # of the titles' popularity
RUNGS = {"1080p": 40, "720p": 40, "480p": 15, "360p": 5}  # how many of a hundred watch each
MEAN_SEGMENTS = 4  # watched by a session, of the seven that the clip has
SESSIONS = 2000
SEED = 2026

_MAP = re.compile(r'#EXT-X-MAP:URI="([^"]+)"')


@dataclass(frozen=True)
class Library:
    """Objects below `data`/objects, and for each workload the keys that are asked for in turn."""

    data: Path
    workloads: dict[str, list[str]]
    bytes: int


def make_library(data: Path) -> Library:
    objects = data / "objects"
    workloads = {name: [_blob(objects, size)] for name, size in SIZES.items()}
    workloads[SESSION_MIX] = _sessions(objects, _titles(objects, _package(data)))
    for playlist in list(objects.rglob("*.m3u8")):  # for servers that take theirs from a file
        playlist.with_name(f"{playlist.name}.gz").write_bytes(
            gzip.compress(playlist.read_bytes(), 6)
        )
    size = sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())
    return Library(data, workloads, size)


def media_id_of(key: str) -> str:
    return key.split("/")[1]


def _blob(objects: Path, size: int) -> str:
    key = f"v/{size:024x}/blob/1080p/00000.m4s"
    path = objects / key
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(size))
    return key


def _package(data: Path) -> str:
    """Upload a clip to a real service and let it become ready; the package's prefix."""
    source = data / "clip.mp4"
    make_source(source, CLIP_S)
    with service(data) as (url, _), httpx.Client(base_url=url, headers=USER) as client:
        with source.open("rb") as file:
            answer = client.post("/api/v1/upload", files={"file": (source.name, file)}, timeout=60)
        answer.raise_for_status()
        media_id = answer.json()["id"]
        wait_for_title(client, media_id, time.monotonic())
        playback = client.get(f"/api/v1/media/{media_id}/playback").json()["url"]
    source.unlink()
    return str(Path(playback[playback.index("/v/") + 1 :]).parent)


def _titles(objects: Path, package: str) -> list[str]:
    """The package and copies of it: files of their own, as other titles would be."""
    version = package.split("/")[2]
    copies = [f"v/{number:024x}/{version}" for number in range(1, TITLES)]
    for copy in copies:
        shutil.copytree(objects / package, objects / copy)
    return [package, *copies]


def _sessions(objects: Path, titles: list[str]) -> list[str]:
    """Requests of many viewers one after the other. Which connection carries which does not
    matter to a server that keeps no state per viewer."""
    choice = random.Random(SEED)
    weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, len(titles) + 1)]
    requests: list[str] = []
    for title in choice.choices(titles, weights, k=SESSIONS):
        (rung,) = choice.choices(list(RUNGS), list(RUNGS.values()))
        segments = 1 + int(choice.expovariate(1 / (MEAN_SEGMENTS - 1)))
        requests.extend(_session(objects, title, rung, segments))
    return requests


def _session(objects: Path, title: str, rung: str, segments: int) -> Iterator[str]:
    yield f"{title}/index.m3u8"
    tracks = [_track(objects, f"{title}/{name}") for name in (rung, "audio")]
    for playlist, init, _ in tracks:
        yield from (playlist, init)
    for number in range(segments):
        yield from (names[number] for _, _, names in tracks if number < len(names))


def _track(objects: Path, folder: str) -> tuple[str, str, list[str]]:
    text = (objects / folder / "playlist.m3u8").read_text()
    init = _MAP.search(text)
    assert init is not None, text
    names = [line for line in text.splitlines() if line and not line.startswith("#")]
    return f"{folder}/playlist.m3u8", f"{folder}/{init[1]}", [f"{folder}/{name}" for name in names]
