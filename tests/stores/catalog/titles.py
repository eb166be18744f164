"""Plain records to store."""

from media.asset import Asset, AssetType, Status
from media.commit import Commit, RenditionFacts, SegmentFacts
from media.plan import AudioPlan, AudioRung, Plan, Rung, VideoPlan
from media.timeline import FrameRate


def asset(media_id: str, user_id: str = "ann", *, created_at_ms: int = 0, events: int = 0) -> Asset:
    """With one event it is as a catalog gives it back after its creation."""
    return Asset(
        id=media_id,
        user_id=user_id,
        title="Nachtfahrt \u2028 \x00",
        description="",
        type=AssetType.VIDEO,
        status=Status.UPLOADING,
        created_at_ms=created_at_ms,
        updated_at_ms=created_at_ms,
        events=events,
    )


def plan(frame_count: int = 100) -> Plan:
    return Plan(
        origin=(1, 30),
        segment_duration_s=6,
        video=VideoPlan(
            stream_index=0,
            rate=FrameRate(30000, 1001),
            frame_count=frame_count,
            rungs=(Rung("480p", 854, 480, 1_400_000), Rung("360p", 640, 360, 800_000)),
            seekable=True,
        ),
        audio=AudioPlan(stream_index=1, sample_count=1024, rungs=(AudioRung("a", 96_000, 2),)),
        preset="veryfast",
        crf=23,
    )


def commit(task: str, size: int = 1000) -> Commit:
    segment = SegmentFacts(0, "00000-ab.m4s", 0, 90_000, size, 30, True)
    rendition = RenditionFacts("480p", "init-ab.mp4", "avc1.64001f", 90_000, (segment,))
    return Commit(task, (rendition,))
