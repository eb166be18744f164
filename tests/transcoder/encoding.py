"""Probe, plan and encode in this process, and what an independent demuxer makes of the result."""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from media.plan import Plan
from media.settings import FfmpegSettings
from stores.objects.base import Source
from tests.transcoder import child_work
from tests.transcoder.running import SMALL
from tests.transcoder.sources import number_of
from transcoder.audio import encode_audio
from transcoder.child import Children
from transcoder.messages import InitSegment, MediaSegment, Message, Opened, Probed
from transcoder.planner import make_plan
from transcoder.probe import probe
from transcoder.source import ProbeResult
from transcoder.video import encode_chunk
from transcoder.work import Limits


@dataclass(frozen=True, slots=True)
class LocalFile(Source):
    path: str

    def open(self) -> BinaryIO:
        return Path(self.path).open("rb")


def probed(path: Path) -> ProbeResult:
    said: list[Message] = []
    probe(said.append, LocalFile(str(path)))
    (answer,) = said
    assert isinstance(answer, Probed)
    return answer.result


def planned(path: Path, settings: FfmpegSettings = SMALL) -> Plan:
    return make_plan(probed(path), settings, encoder="libx264")


def encoded_video(path: Path, plan: Plan) -> list[Message]:
    said: list[Message] = []
    for chunk in plan.chunks():
        encode_chunk(said.append, LocalFile(str(path)), plan, chunk)
    return said


def encoded_audio(path: Path, plan: Plan) -> list[Message]:
    said: list[Message] = []
    encode_audio(said.append, LocalFile(str(path)), plan)
    return said


def joined(said: Sequence[Message], rendition: str) -> bytes:
    """One rendition as one file; every chunk must have made the same init segment."""
    inits = {m.data for m in said if isinstance(m, InitSegment) and m.rendition == rendition}
    segments = [m for m in said if isinstance(m, MediaSegment) and m.rendition == rendition]
    segments.sort(key=lambda segment: segment.number)
    (init,) = inits
    return init + b"".join(segment.data for segment in segments)


def numbers(said: Sequence[Message], rendition: str) -> list[int]:
    """The numbers that the encoded pictures show."""
    with av.open(io.BytesIO(joined(said, rendition)), "r") as container:
        return [number_of(frame) for frame in container.decode(video=0)]


def samples(said: Sequence[Message], rendition: str) -> np.ndarray:
    """The left channel, from media time 0."""
    with av.open(io.BytesIO(joined(said, rendition)), "r") as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def peak_growth(work: Callable[..., None], *arguments: object) -> int:
    """Bytes of memory that the work takes at its peak, in a child of its own."""

    async def measured() -> int:
        limits = Limits(time_s=120, cpu_s=120)
        run = children.run(child_work.peak_growth, work, *arguments, limits=limits)
        async with run as messages:
            (answer,) = [message async for message in messages]
        assert isinstance(answer, Opened)
        return int(answer.reason)

    children = Children()
    try:
        return asyncio.run(measured())
    finally:
        children.close()
