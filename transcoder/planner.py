"""From what the probe found and what is configured to the plan of the whole title."""

from fractions import Fraction

from media.asset import SourceInfo
from media.ladder import plan_audio_rungs, plan_ladder
from media.plan import AudioPlan, Plan, VideoPlan
from media.settings import FfmpegSettings
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE
from transcoder.source import ProbeResult, VideoTrack

# Sound that outlasts the picture by less is cut there; of more, nothing is lost: the last
# picture stays.
AUDIO_OVERHANG_S = Fraction(1, 10)
CHANNELS = 2  # more are mixed down; mono stays mono


def make_plan(probed: ProbeResult, settings: FfmpegSettings, *, encoder: str) -> Plan:
    video = _video_plan(probed, probed.video, settings, encoder) if probed.video else None
    return Plan(
        origin=(probed.origin.numerator, probed.origin.denominator),
        segment_duration_s=int(settings.segmentduration.total_seconds()),
        video=video,
        audio=_audio_plan(probed, settings, video),
        preset=settings.preset,
        crf=settings.crf,
    )


def source_info(probed: ProbeResult) -> SourceInfo:
    video, audio = probed.video, probed.audio
    end = max(track.end for track in (video, audio) if track is not None)
    return SourceInfo(
        container=probed.container,
        size_bytes=probed.size_bytes,
        duration_s=round(float(end - probed.origin), 3),
        video_codec=video.codec if video else None,
        audio_codec=audio.codec if audio else None,
        width=video.width if video else None,
        height=video.height if video else None,
        frame_rate=round(float(video.rate.fraction), 3) if video else None,
        audio_channels=audio.channels if audio else None,
        audio_sample_rate=audio.sample_rate if audio else None,
    )


def _video_plan(
    probed: ProbeResult, track: VideoTrack, settings: FfmpegSettings, encoder: str
) -> VideoPlan:
    end = track.end
    if probed.audio is not None and probed.audio.end > end + AUDIO_OVERHANG_S:
        end = probed.audio.end
    return VideoPlan(
        stream_index=track.stream_index,
        rate=track.rate,
        frame_count=max(1, track.rate.slot(end - probed.origin)),
        rungs=plan_ladder(track.width, track.height, settings.profiles),
        seekable=probed.seekable,
        encoder=encoder,
        orientation=track.orientation,
        deinterlace=track.interlaced,
        tone_map=track.tone_map,
        colour=track.colour,
    )


def _audio_plan(
    probed: ProbeResult, settings: FfmpegSettings, video: VideoPlan | None
) -> AudioPlan | None:
    track = probed.audio
    if track is None:
        return None
    if video is not None:
        samples = video.frame_count / video.rate.fraction * AUDIO_SAMPLE_RATE
    else:
        samples = (track.end - probed.origin) * AUDIO_SAMPLE_RATE
    frames = max(1, -(-samples // AAC_FRAME_SAMPLES))  # rounded up: sound covers the picture
    channels = min(track.channels, CHANNELS)
    return AudioPlan(
        stream_index=track.stream_index,
        sample_count=frames * AAC_FRAME_SAMPLES,
        rungs=plan_audio_rungs(channels, settings.profiles, with_video=video is not None),
        language=track.language,
    )
