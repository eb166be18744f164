"""The last check before a title is called ready: what was committed is what was planned.

The facts were read back from the muxed bytes, so a violation here is a bug in the encoder or
the muxer and must never reach a player.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from media.commit import Commit, RenditionFacts, SegmentFacts
from media.plan import AudioRung, Plan
from media.publish import plan_rungs
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE


class PackageError(Exception):
    """The package would not play correctly. The message says where and how."""


def verify(plan: Plan, commits: Sequence[Commit]) -> None:
    """Raises PackageError. Ids are those of the conformance list in tests/e2e."""
    problems = [*_problems(plan, commits)]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise PackageError("; ".join(problems[:3]) + more)


def _problems(plan: Plan, commits: Sequence[Commit]) -> Iterator[str]:
    expected = {rung.name: isinstance(rung, AudioRung) for rung in plan_rungs(plan)}
    parts = [part for commit in commits for part in commit.renditions]
    for name in {part.name for part in parts} - expected.keys():
        yield f"{name}: not in the plan"
    for name, is_audio in expected.items():
        own = [part for part in parts if part.name == name]
        yield from _init_problems(plan, name, own, is_audio)
        yield from _segment_problems(plan, name, own, is_audio)
    yield from _duration_problems(plan)


def _init_problems(
    plan: Plan, name: str, parts: Sequence[RenditionFacts], is_audio: bool
) -> Iterator[str]:
    """SEG14: one init segment, one codec string, one timescale over the whole rendition."""
    inits = {(part.init_name, part.codecs, part.timescale) for part in parts}
    if len(inits) != 1:
        yield f"{name}: expected one init segment, got {sorted(inits)}"
        return
    timescale = AUDIO_SAMPLE_RATE if is_audio else plan.video and plan.video.rate.timescale
    if parts[0].timescale != timescale:
        yield f"{name}: timescale {parts[0].timescale}, planned {timescale}"


def _segment_problems(
    plan: Plan, name: str, parts: Sequence[RenditionFacts], is_audio: bool
) -> Iterator[str]:
    """SEG5, SEG6, SEG8, SEG9: each segment once, at its place, as long as planned."""
    segments = sorted((s for part in parts for s in part.segments), key=lambda s: s.number)
    if [segment.number for segment in segments] != list(range(plan.segment_count)):
        yield f"{name}: has segments {_runs(segments)} of {plan.segment_count}"
        return
    boundaries = plan.audio_boundaries if is_audio else plan.video_boundaries
    ticks = 1 if is_audio or plan.video is None else plan.video.rate.frame_ticks
    samples = AAC_FRAME_SAMPLES if is_audio else 1
    for segment, (start, end) in zip(segments, pairwise(boundaries), strict=True):
        planned = (start * ticks, (end - start) * ticks, (end - start) // samples)
        found = (segment.decode_time, segment.duration, segment.sample_count)
        if found != planned:
            yield (
                f"{name} segment {segment.number}: (decode time, duration, samples) "
                f"{found}, planned {planned}"
            )
        if not segment.starts_with_idr:
            yield f"{name} segment {segment.number}: does not start with an IDR picture"


def _duration_problems(plan: Plan) -> Iterator[str]:
    """MP5: audio covers the video, by less than one AAC frame too much."""
    if plan.video is None or plan.audio is None:
        return
    excess = Fraction(plan.audio.sample_count, AUDIO_SAMPLE_RATE) - (
        plan.video.frame_count / plan.video.rate.fraction
    )
    if not 0 <= excess < Fraction(AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE):
        yield f"audio is {float(excess):+.4f} s longer than the video"


def _runs(segments: Sequence[SegmentFacts]) -> str:
    numbers = [segment.number for segment in segments]
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
