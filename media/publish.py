"""What may be shown of a title: a pure function of its plan and of what has been committed.

Playlists list the contiguous run of committed segments from the start, so they only ever grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media import keys
from media.asset import AssetType, RenditionInfo
from media.commit import Commit, SegmentFacts
from media.plan import AudioRung, Plan, Rung
from media.playlists import (
    START_AT_BEGINNING,
    AlternativeAudio,
    MediaPlaylist,
    MediaSegment,
    MultivariantPlaylist,
    PlaylistType,
    SegmentSizes,
    Variant,
)

AUDIO_GROUP = "audio"
FIRST_VARIANT_BIT_RATE = 2_000_000  # Apple HLS authoring 9.10: where players start


@dataclass(frozen=True, slots=True)
class Publication:
    files: tuple[tuple[str, str], ...]  # key and text, to be written in this order
    playable: bool  # every rendition has its first segment
    complete: bool  # every segment of every rendition is committed
    progress: float  # committed share of all segments, 0..1
    renditions: tuple[RenditionInfo, ...]


@dataclass(frozen=True, slots=True)
class Track:
    """The published part of one rendition."""

    rung: Rung | AudioRung
    init_name: str
    codecs: str
    timescale: int
    segments: tuple[SegmentFacts, ...]

    def measured(self) -> SegmentSizes:
        return SegmentSizes(
            timescale=self.timescale,
            sizes=tuple(segment.size for segment in self.segments),
            durations=tuple(segment.duration for segment in self.segments),
        )


def publication(
    media_id: str, plan: Plan, commits: Sequence[Commit], *, final: bool = False
) -> Publication:
    """`final` is for a package that is complete and verified: VOD playlists, measured rates."""
    rungs = plan_rungs(plan)
    tracks = [track for rung in rungs if (track := _track(rung, commits)) is not None]
    committed = sum(len(part.segments) for commit in commits for part in commit.renditions)
    playable = len(tracks) == len(rungs)
    complete = committed == plan.segment_count * len(rungs)
    assert complete or not final, "an incomplete package is never final"
    prefix = keys.package_prefix(media_id, plan.version)
    files = [
        (f"{prefix}{track.rung.name}/{keys.PLAYLIST}", _media_playlist(plan, track, final))
        for track in tracks
    ]
    if playable:
        files.append((prefix + keys.INDEX, _multivariant_playlist(plan, tracks, final)))
    return Publication(
        files=tuple(files),
        playable=playable,
        complete=complete,
        progress=committed / (plan.segment_count * len(rungs)),
        renditions=tuple(_rendition_info(plan, track) for track in tracks),
    )


def advances(current: str, new: str) -> bool:
    """Whether replacing a published playlist by `new` adds to it; never true both ways."""

    def rank(text: str) -> tuple[bool, int]:
        return START_AT_BEGINNING not in text, text.count("#EXTINF:")

    return rank(new) > rank(current)


def plan_rungs(plan: Plan) -> tuple[Rung | AudioRung, ...]:
    video = plan.video.rungs if plan.video else ()
    audio = plan.audio.rungs if plan.audio else ()
    return (*video, *audio)


def _track(rung: Rung | AudioRung, commits: Sequence[Commit]) -> Track | None:
    parts = [part for commit in commits for part in commit.renditions if part.name == rung.name]
    by_number = {segment.number: segment for part in parts for segment in part.segments}
    prefix: list[SegmentFacts] = []
    while (segment := by_number.get(len(prefix))) is not None:
        prefix.append(segment)
    if not prefix:
        return None
    return Track(rung, parts[0].init_name, parts[0].codecs, parts[0].timescale, tuple(prefix))


def _media_playlist(plan: Plan, track: Track, final: bool) -> str:
    return MediaPlaylist(
        target_duration_s=plan.target_duration_s(),
        playlist_type=PlaylistType.VOD if final else PlaylistType.EVENT,
        init_uri=track.init_name,
        timescale=track.timescale,
        segments=tuple(MediaSegment(s.duration, s.name) for s in track.segments),
    ).render()


def _multivariant_playlist(plan: Plan, tracks: Sequence[Track], final: bool) -> str:
    video = [track for track in tracks if isinstance(track.rung, Rung)]
    audio = [track for track in tracks if isinstance(track.rung, AudioRung)]
    if not video:
        variants = [_variant(plan, track, None, final) for track in audio]
    else:
        variants = [_variant(plan, track, audio[0] if audio else None, final) for track in video]
    variants.sort(key=lambda variant: -variant.peak_bit_rate)
    first = min(variants, key=lambda variant: abs(variant.peak_bit_rate - FIRST_VARIANT_BIT_RATE))
    return MultivariantPlaylist(
        variants=(first, *(variant for variant in variants if variant is not first)),
        audio=tuple(_alternative_audio(plan, track) for track in audio) if video else (),
        growing=not final,
    ).render()


def _variant(plan: Plan, track: Track, audio: Track | None, final: bool) -> Variant:
    tracks = [track, audio] if audio else [track]
    rates = [_bit_rates(plan, track, final) for track in tracks]
    video = track.rung if isinstance(track.rung, Rung) else None
    return Variant(
        peak_bit_rate=sum(peak for peak, _ in rates),
        average_bit_rate=sum(average for _, average in rates),
        codecs=tuple(track.codecs for track in tracks),
        uri=f"{track.rung.name}/{keys.PLAYLIST}",
        resolution=(video.width, video.height) if video else None,
        frame_rate=plan.video.rate.fraction if plan.video and video else None,
        audio_group=AUDIO_GROUP if audio else None,
    )


def _bit_rates(plan: Plan, track: Track, final: bool) -> tuple[int, int]:
    """Peak and average, bit/s: measured once all is there, until then what the encoder may use."""
    if final:
        measured = track.measured()
        return measured.peak_bit_rate(plan.target_duration_s()), measured.average_bit_rate()
    rung = track.rung
    ceiling = rung.max_bit_rate if isinstance(rung, Rung) else rung.bit_rate
    return ceiling, ceiling


def _alternative_audio(plan: Plan, track: Track) -> AlternativeAudio:
    assert plan.audio is not None and isinstance(track.rung, AudioRung)
    return AlternativeAudio(
        group_id=AUDIO_GROUP,
        name="Audio",
        language=plan.audio.language,
        channels=track.rung.channels,
        uri=f"{track.rung.name}/{keys.PLAYLIST}",
    )


def _rendition_info(plan: Plan, track: Track) -> RenditionInfo:
    measured = track.measured()
    video = track.rung if isinstance(track.rung, Rung) else None
    rate = float(plan.video.rate.fraction) if plan.video and video else None
    return RenditionInfo(
        name=track.rung.name,
        type=AssetType.VIDEO if video else AssetType.AUDIO,
        codecs=track.codecs,
        width=video.width if video else None,
        height=video.height if video else None,
        frame_rate=round(rate, 3) if rate else None,
        peak_bit_rate=measured.peak_bit_rate(plan.target_duration_s()),
        average_bit_rate=measured.average_bit_rate(),
    )
