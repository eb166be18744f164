"""What may be shown of a title: a pure function of its plan and of what has been committed.

Playlists list the contiguous run of committed segments from the start, so they only ever grow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from media import keys
from media.asset import AssetType, RenditionInfo
from media.commit import AUDIO, VIDEO, Commit, RenditionFacts, SegmentFacts
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
    duration_s: float  # that every rendition has by now
    playable: bool  # every rendition has its first segment
    complete: bool  # every segment of every rendition is committed
    progress: float  # committed share of all segments, 0..1
    renditions: tuple[RenditionInfo, ...]


@dataclass(slots=True)
class Track:
    """What may be shown of one rendition: the run of its segments without a gap from the start."""

    rung: Rung | AudioRung
    init_name: str = ""
    codecs: str = ""
    timescale: int = 1
    segments: list[SegmentFacts] = field(default_factory=list)
    end_ticks: int = 0
    beyond: int = 0  # segments after a gap

    def learn(self, parts: Sequence[RenditionFacts]) -> bool:
        """From all segments that are committed from the last known one on."""
        by_number = {segment.number: segment for part in parts for segment in part.segments}
        before = len(self.segments)
        if before and by_number.get(before - 1) != self.segments[-1]:
            return False
        if not before and 0 in by_number:
            self.init_name, self.codecs = parts[0].init_name, parts[0].codecs
            self.timescale = parts[0].timescale
        while (segment := by_number.get(len(self.segments))) is not None:
            self.segments.append(segment)
            self.end_ticks += segment.duration
        self.beyond = sum(number >= len(self.segments) for number in by_number)
        return True

    def measured(self) -> SegmentSizes:
        return SegmentSizes(
            timescale=self.timescale,
            sizes=tuple(segment.size for segment in self.segments),
            durations=tuple(segment.duration for segment in self.segments),
        )


class Committed:
    """What has been committed of a title, as far as it is known here. A commit never changes, so
    it is enough to be told, again and again, what comes after the run that is known. Its last
    segment is told again, too: a title that is planned anew has none of its commits any more."""

    def __init__(self, media_id: str, plan: Plan) -> None:
        self.media_id = media_id
        self.plan = plan
        self.tracks = tuple(Track(rung) for rung in plan_rungs(plan))

    def starts(self) -> dict[str, int]:
        """Per kind of commit, the segment number from which on there may be something new."""
        numbers: dict[str, int] = {}
        for track in self.tracks:
            kind = AUDIO if isinstance(track.rung, AudioRung) else VIDEO
            last = max(0, len(track.segments) - 1)
            numbers[kind] = min(last, numbers.get(kind, last))
        return numbers

    def learn(self, commits: Iterable[Commit]) -> bool:
        """All commits from `starts` on. False if they do not go on where the known ones end:
        those are not the title's any more."""
        parts: dict[str, list[RenditionFacts]] = {}
        for commit in commits:
            for part in commit.renditions:
                parts.setdefault(part.name, []).append(part)
        told = [track.learn(parts.get(track.rung.name, [])) for track in self.tracks]
        return all(told)

    def size(self) -> int:
        return sum(len(track.segments) for track in self.tracks)

    def publication(self, *, final: bool = False) -> Publication:
        """`final` is for a package that is complete and verified: VOD playlists, measured rates."""
        plan = self.plan
        total = plan.segment_count * len(self.tracks)
        tracks = [track for track in self.tracks if track.segments]
        playable = len(tracks) == len(self.tracks)
        complete = self.size() == total
        assert complete or not final, "an incomplete package is never final"
        prefix = keys.package_prefix(self.media_id, plan.version)
        files = [
            (f"{prefix}{track.rung.name}/{keys.PLAYLIST}", _media_playlist(plan, track, final))
            for track in tracks
        ]
        if playable:
            files.append((prefix + keys.INDEX, _multivariant_playlist(plan, tracks, final)))
        return Publication(
            files=tuple(files),
            duration_s=min(track.end_ticks / track.timescale for track in self.tracks),
            playable=playable,
            complete=complete,
            progress=sum(len(track.segments) + track.beyond for track in self.tracks) / total,
            renditions=tuple(_rendition_info(plan, track) for track in tracks),
        )


def publication(
    media_id: str, plan: Plan, commits: Sequence[Commit], *, final: bool = False
) -> Publication:
    """From all commits at once."""
    committed = Committed(media_id, plan)
    committed.learn(commits)
    return committed.publication(final=final)


Rank = tuple[bool, int]


def rank(text: str) -> Rank:
    """A published playlist is only ever replaced by one of a higher rank: a final one, or one
    that lists more segments."""
    return START_AT_BEGINNING not in text, text.count("#EXTINF:")


def plan_rungs(plan: Plan) -> tuple[Rung | AudioRung, ...]:
    video = plan.video.rungs if plan.video else ()
    audio = plan.audio.rungs if plan.audio else ()
    return (*video, *audio)


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
