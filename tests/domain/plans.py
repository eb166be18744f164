"""Plans and commits made from nothing, for the tests of the domain."""

from media.commit import Commit, RenditionFacts, SegmentFacts
from media.plan import AudioPlan, AudioRung, Plan, Rung, VideoPlan
from media.publish import plan_rungs
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, FrameRate

THIRTY = FrameRate(30, 1)
RUNGS = (Rung("720p", 1280, 720, 2_800_000), Rung("360p", 640, 360, 800_000))


def make_plan(*, frames: int | None = 780, rate: FrameRate = THIRTY, audio: bool = True) -> Plan:
    video = VideoPlan(0, rate, frames, RUNGS, True) if frames else None
    samples = 20 * AUDIO_SAMPLE_RATE
    if frames:
        samples = frames * rate.den * AUDIO_SAMPLE_RATE // rate.num
    samples = -(-samples // AAC_FRAME_SAMPLES) * AAC_FRAME_SAMPLES
    names = ("audio",) if frames else ("audio-192k", "audio-96k")
    rungs = tuple(AudioRung(name, 192_000 >> n, 2) for n, name in enumerate(names))
    return Plan(
        origin=(0, 1),
        segment_duration_s=6,
        video=video,
        audio=AudioPlan(1, samples, rungs) if audio else None,
        preset="veryfast",
        crf=23,
    )


def make_commits(plan: Plan) -> tuple[Commit, ...]:
    """One commit per segment and kind, exactly as planned."""
    commits = []
    for number in range(plan.segment_count):
        if plan.video:
            names = [rung.name for rung in plan.video.rungs]
            commits.append(_commit(plan, "video", names, number))
        if plan.audio:
            names = [rung.name for rung in plan.audio.rungs]
            commits.append(_commit(plan, "audio", names, number))
    return tuple(commits)


def _commit(plan: Plan, kind: str, names: list[str], number: int) -> Commit:
    parts = tuple(
        RenditionFacts(
            name=name,
            init_name="init-00.mp4",
            codecs="mp4a.40.2" if kind == "audio" else "avc1.64001f",
            timescale=AUDIO_SAMPLE_RATE
            if kind == "audio" or not plan.video
            else plan.video.rate.timescale,
            segments=(_facts(plan, kind, number),),
        )
        for name in names
    )
    return Commit(f"{kind}-{number:05d}", parts)


def _facts(plan: Plan, kind: str, number: int) -> SegmentFacts:
    boundaries = plan.audio_boundaries if kind == "audio" else plan.video_boundaries
    start, end = boundaries[number : number + 2]
    ticks, per_sample = 1, AAC_FRAME_SAMPLES
    if kind == "video":
        assert plan.video is not None
        ticks, per_sample = plan.video.rate.frame_ticks, 1
    return SegmentFacts(
        number=number,
        name=f"{number:05d}-00.m4s",
        decode_time=start * ticks,
        duration=(end - start) * ticks,
        size=100_000 * (number + 1),
        sample_count=(end - start) // per_sample,
        starts_with_idr=True,
    )


def names_of(plan: Plan) -> list[str]:
    return [rung.name for rung in plan_rungs(plan)]
