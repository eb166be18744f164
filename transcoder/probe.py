"""What is in an uploaded file: looked at by decoding, because headers promise what they like."""

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NoReturn, TypeVar

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.plan import UNDETERMINED
from media.timeline import FrameRate, nearest_standard_rate
from stores.objects.base import Source
from transcoder.appearance import Look, display_size, is_too_large, look_of, reject_too_large
from transcoder.ending import TAIL_S, Tail, missing_ends, tails
from transcoder.messages import Probed
from transcoder.source import (
    MAX_PICTURE_PIXELS,
    AudioTrack,
    Decoder,
    ProbeResult,
    VideoTrack,
    format_name,
    frame_time,
    opened,
    packets,
    reject,
)
from transcoder.work import Send

MAX_DURATION_S = 24 * 3600
# Below it a title's length is a damaged number: a still picture with silence takes more. Without
# the limit a small file could have a worker encode one held picture for a day.
MIN_BIT_RATE = 100
MAX_CANDIDATES = 4  # streams of one type that are looked at
MAX_HEAD_PACKETS = 20_000
MAX_HEAD_BYTES = 128 << 20
RATE_PACKETS = 240  # packets that the frame rate is measured on
HEAD_FRAMES = 4
INTERLACED_HEAD_FRAMES = 16  # field pairs share a packet or not: only frames tell the rate

SEEKABLE_FORMATS = {"mov", "matroska"}

AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


@dataclass(slots=True)
class Head:
    """What the start of one candidate stream shows. Frames are looked at and not kept."""

    stream: VideoStream | AudioStream
    decoder: Decoder[VideoFrame] | Decoder[AudioFrame]
    wanted: int = HEAD_FRAMES
    found: int = 0
    interlaced: int = 0
    look: Look | None = None  # of the first picture
    channels: int = 0  # of the first frame of sound
    sample_rate: int = 0
    frame_times: list[Fraction] = field(default_factory=list)
    packet_times: list[Fraction] = field(default_factory=list)
    is_timed: bool = True  # every packet has a presentation time

    def take(self, frames: Sequence[VideoFrame | AudioFrame]) -> None:
        for frame in frames:
            self.found += 1
            if (time := frame_time(frame)) is not None:
                self.frame_times.append(time)
            if isinstance(frame, VideoFrame):
                self._take_picture(frame)
            elif self.found == 1:
                self.channels, self.sample_rate = len(frame.layout.channels), frame.sample_rate

    def _take_picture(self, frame: VideoFrame) -> None:
        self.look = self.look or look_of(frame)
        if frame.interlaced_frame:
            self.interlaced += 1
            self.wanted = INTERLACED_HEAD_FRAMES

    @property
    def first_time(self) -> Fraction:
        return min(self.frame_times, default=min(self.packet_times, default=Fraction(0)))

    @property
    def is_complete(self) -> bool:
        is_sound = isinstance(self.stream, AudioStream)
        enough_times = is_sound or len(self.packet_times) >= RATE_PACKETS
        return enough_times and self.found >= self.wanted


def probe(send: Send, source: Source) -> None:
    with opened(source) as (container, size_bytes):
        result = _probe(container, size_bytes)
    send(Probed(result))  # nothing is said of a source before it is known to have been read


def _probe(container: InputContainer, size_bytes: int) -> ProbeResult:
    candidates: list[VideoStream | AudioStream] = [
        *_video_candidates(container),
        *sorted(_decodable(container.streams.audio), key=_audio_preference)[:MAX_CANDIDATES],
    ]
    if not candidates:
        _reject_unplayable(container)
    heads = _read_heads(container, candidates)
    video = next((h for h in heads if isinstance(h.stream, VideoStream) and h.found), None)
    audio = next((h for h in heads if isinstance(h.stream, AudioStream) and h.found), None)
    found = [head for head in (video, audio) if head is not None]
    if not found:
        _reject_undecodable(candidates)
    origin = min(head.first_time for head in found)
    ends = tails(container, *(head.stream for head in found))
    _check_length(max(ends[head.stream.index].end for head in found) - origin, size_bytes)
    return ProbeResult(
        container=format_name(container),
        size_bytes=size_bytes,
        origin=origin,
        seekable=video is not None and _is_seekable(container, video, ends[video.stream.index]),
        video=_video_track(video, ends[video.stream.index]) if video else None,
        audio=_audio_track(audio, ends[audio.stream.index]) if audio else None,
        warnings=(
            *_unusable(container.streams.video, heads, "video"),
            *_unusable(container.streams.audio, heads, "sound"),
            *missing_ends(container, [head.stream for head in found], ends),
        ),
    )


def _unusable(streams: Iterable[AnyStream], heads: Iterable[Head], kind: str) -> Iterator[str]:
    """Says how many tracks of a kind are left out, if any."""
    silent = {head.stream.index: head for head in heads if not head.found}
    why = []
    for stream in streams:
        if stream.codec_context is None and not stream.disposition & COVERS:
            why.append("unknown format")
        elif stream.index in silent:
            is_empty = not silent[stream.index].decoder.packets
            why.append("empty" if is_empty else stream.codec_context.codec.canonical_name)
    if why:
        tracks = f"A {kind} track" if len(why) == 1 else f"{len(why)} {kind} tracks"
        verb = "is" if len(why) == 1 else "are"
        yield f"{tracks} cannot be used and {verb} left out ({', '.join(sorted(set(why)))})."


def _check_length(length_s: Fraction, size_bytes: int) -> None:
    if length_s > MAX_DURATION_S:
        reject("too_long", f"the file is longer than {MAX_DURATION_S // 3600} hours")
    if size_bytes * 8 < length_s * MIN_BIT_RATE:
        reject(
            "broken_timestamps",
            f"the file seems to last {float(length_s / 3600):.1f} hours, but {size_bytes} bytes "
            "cannot hold that: its times are damaged",
        )


def _video_candidates(container: InputContainer) -> list[VideoStream]:
    """All of them are decoded at once: together they may be as large as one alone."""
    streams = [s for s in container.streams.video if not s.disposition & COVERS]
    streams = sorted(_decodable(streams), key=_video_preference)
    fitting = [s for s in streams if not is_too_large(s.width, s.height)]
    if streams and not fitting:
        reject_too_large(streams[0].width, streams[0].height)
    pixels = accumulate(s.width * s.height for s in fitting)
    together = [s for s, total in zip(fitting, pixels, strict=True) if total <= MAX_PICTURE_PIXELS]
    return together[:MAX_CANDIDATES]


def _decodable(streams: Iterable[AnyStream]) -> list[AnyStream]:
    """PyAV gives no codec context to a stream that it has no decoder for."""
    return [stream for stream in streams if stream.codec_context is not None]


def _video_preference(stream: VideoStream) -> tuple[bool, int, int]:
    is_default = bool(stream.disposition & Disposition.default)
    return (not is_default, -stream.width * stream.height, stream.index)


def _audio_preference(stream: AudioStream) -> tuple[bool, bool, int]:
    is_default = bool(stream.disposition & Disposition.default)
    is_extra = bool(stream.disposition & (Disposition.comment | Disposition.visual_impaired))
    return (not is_default, is_extra, stream.index)


def _reject_unplayable(container: InputContainer) -> NoReturn:
    kinds = sorted({stream.type for stream in container.streams})
    if not kinds:
        reject("no_streams", "the file has no video and no sound in it")
    if {"video", "audio"} & set(kinds):
        reject("unsupported_codec", "the file's video and sound are in formats unknown here")
    reject("no_streams", f"the file has no video and no sound in it, only {' and '.join(kinds)}")


def _reject_undecodable(candidates: Iterable[VideoStream | AudioStream]) -> NoReturn:
    if any(isinstance(stream, VideoStream) and not stream.width for stream in candidates):
        reject(
            "too_large",
            "the picture's size cannot be read, or it has more than "
            f"{MAX_PICTURE_PIXELS // 1_000_000} million pixels",
        )
    codecs = sorted({stream.codec_context.codec.canonical_name for stream in candidates})
    reject("undecodable", f"nothing in the file can be decoded (tried {', '.join(codecs)})")


def _read_heads(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream]
) -> list[Head]:
    heads = {s.index: Head(s, _decoder(s)) for s in streams}
    read_bytes = 0
    for count, packet in enumerate(packets(container, *streams)):
        head = heads[packet.stream_index]
        ticks = packet.pts if packet.pts is not None else packet.dts
        head.is_timed = head.is_timed and packet.pts is not None
        if ticks is not None and len(head.packet_times) < RATE_PACKETS:
            head.packet_times.append(ticks * packet.time_base)
        if head.found < head.wanted:
            head.take(head.decoder.feed(packet))
        read_bytes += packet.size
        if count >= MAX_HEAD_PACKETS or read_bytes >= MAX_HEAD_BYTES:
            break
        if all(head.is_complete for head in heads.values()):
            break
    for head in heads.values():
        if head.found < head.wanted:
            head.take(head.decoder.drain())
    return list(heads.values())


def _decoder(stream: VideoStream | AudioStream) -> Decoder[VideoFrame] | Decoder[AudioFrame]:
    if isinstance(stream, VideoStream):
        return Decoder(stream, VideoFrame)
    return Decoder(stream, AudioFrame)


def _is_seekable(container: InputContainer, head: Head, tail: Tail) -> bool:
    """Whether chunks may be decoded on their own: an index over the whole length, and times that
    every frame has. The tail was sought already, which is when Matroska reads its index."""
    entries, time_base = head.stream.index_entries, head.stream.time_base
    if format_name(container) not in SEEKABLE_FORMATS or not len(entries) or time_base is None:
        return False
    indexed = entries[len(entries) - 1].timestamp * time_base - head.first_time
    length = tail.end - head.first_time
    return head.is_timed and (indexed >= length / 2 or length < 2 * TAIL_S)


def _video_track(head: Head, tail: Tail) -> VideoTrack:
    assert isinstance(head.stream, VideoStream) and head.look is not None
    width, height = display_size(head.stream, head.look)
    interlaced = head.interlaced * 2 > head.found
    rate = _frame_rate(head, interlaced=interlaced)
    return VideoTrack(
        stream_index=head.stream.index,
        codec=head.stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        rate=rate,
        end=max(tail.end, tail.start + 1 / rate.fraction),  # many packets have no duration
        orientation=head.look.orientation,
        interlaced=interlaced,
        tone_map=head.look.tone_map,
        colour=head.look.colour,
    )


def _audio_track(head: Head, tail: Tail) -> AudioTrack:
    return AudioTrack(
        stream_index=head.stream.index,
        codec=head.stream.codec_context.codec.canonical_name,
        channels=head.channels,
        sample_rate=head.sample_rate,
        end=tail.end,
        language=_language(head.stream),
    )


def _language(stream: Stream) -> str:
    language = stream.metadata.get("language", "")
    return language if LANGUAGE_TAG.fullmatch(language) else UNDETERMINED


def _frame_rate(head: Head, *, interlaced: bool) -> FrameRate:
    times = head.frame_times if interlaced else head.packet_times
    gaps = [later - earlier for earlier, later in pairwise(sorted(times)) if later > earlier]
    if not gaps:
        return FrameRate(25, 1)  # one picture
    median = statistics.median_low(gaps)
    # Millisecond time bases give 60/s as gaps of 16 and 17: the mean of the usual gaps is exact.
    usual = [gap for gap in gaps if median / 2 < gap < median * 3 / 2]
    return nearest_standard_rate(sum(usual, Fraction(0)) / len(usual))
