"""How fast a child encodes each rung."""

import time
from collections.abc import AsyncIterator

from media.commit import AUDIO
from media.plan import Chunk, Plan
from transcoder.messages import MediaSegment, Message
from transcoder.metrics import WorkerMetrics
from transcoder.tasks import Work


async def paced(
    messages: AsyncIterator[Message], metrics: WorkerMetrics, work: Work, media_s: float
) -> AsyncIterator[Message]:
    """The same messages. Rungs of one chunk are encoded side by side from one decode: each took
    until its last segment came. What a child says of its segments' lengths is not believed."""
    started = time.perf_counter()
    took_s: dict[str, float] = {}
    async for message in messages:
        if isinstance(message, MediaSegment) and message.rendition in work.renditions:
            took_s[message.rendition] = time.perf_counter() - started
        yield message
    for name, wall_s in took_s.items():
        rung = AUDIO if work.kind == AUDIO else name
        metrics.observe_rung(rung, wall_s=wall_s, media_s=media_s)


def chunk_duration_s(plan: Plan, chunk: Chunk) -> float:
    assert plan.video is not None
    boundaries = plan.video_boundaries
    frames = boundaries[chunk.first_segment + chunk.segment_count] - boundaries[chunk.first_segment]
    return float(frames / plan.video.rate.fraction)
