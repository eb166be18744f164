"""What is in an uploaded file: looked at by decoding, because headers promise what they like."""

import statistics
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, NoReturn, TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.buffer import Buffer
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.plan import Colour, Orientation, ToneMap
from media.timeline import FrameRate, nearest_standard_rate
from stores.objects.base import Source
from transcoder.messages import Probed
from transcoder.source import (
    AudioTrack,
    Decoder,
    ProbeResult,
    VideoTrack,
    frame_time,
    opened,
    packets,
    reject,
)
from transcoder.work import Send

MAX_DURATION_S = 24 * 3600
MAX_SIDE_PIXELS = 8192
MIN_SIDE_PIXELS = 16
MAX_CANDIDATES = 4  # streams of one type that are looked at
MAX_HEAD_PACKETS = 20_000
MAX_HEAD_BYTES = 128 << 20
RATE_PACKETS = 240  # packets that the frame rate is measured on
HEAD_FRAMES = 4
INTERLACED_HEAD_FRAMES = 16  # field pairs share a packet or not: only frames tell the rate

# An end that is missing up to this much is a recorder's rounding; more is a cut file, and its
# owner wants to know that now, not when a viewer asks for the rest.
TAIL_TOLERANCE_S = 1
TAIL_S = 2

# Formats whose header says how long the file is; in others the duration is itself a guess.
DECLARING_FORMATS = {"mov", "matroska", "avi", "asf", "flv", "wav", "w64", "flac", "caf", "aiff"}
SEEKABLE_FORMATS = {"mov", "matroska"}

AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)

COVERS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


@dataclass(slots=True)
class Head:
    """The start of one candidate stream."""

    stream: VideoStream | AudioStream
    decoder: Decoder[VideoFrame] | Decoder[AudioFrame]
    wanted: int
    frames: list[VideoFrame | AudioFrame] = field(default_factory=list)
    times: list[Fraction] = field(default_factory=list)
    is_timed: bool = True  # every packet has a presentation time

    def take(self, new: Sequence[VideoFrame | AudioFrame]) -> None:
        self.frames += new
        if any(isinstance(frame, VideoFrame) and frame.interlaced_frame for frame in new):
            self.wanted = INTERLACED_HEAD_FRAMES

    @property
    def first_time(self) -> Fraction:
        times = [time for frame in self.frames if (time := frame_time(frame)) is not None]
        return min(times, default=min(self.times, default=Fraction(0)))

    @property
    def is_complete(self) -> bool:
        enough_times = isinstance(self.stream, AudioStream) or len(self.times) >= RATE_PACKETS
        return enough_times and len(self.frames) >= self.wanted


def probe(send: Send, source: Source) -> None:
    with opened(source) as (container, size_bytes):
        send(Probed(_probe(container, size_bytes)))


def _probe(container: InputContainer, size_bytes: int) -> ProbeResult:
    video_streams = [s for s in container.streams.video if not s.disposition & COVERS]
    candidates: list[VideoStream | AudioStream] = [
        *sorted(_decodable(video_streams), key=_video_preference)[:MAX_CANDIDATES],
        *sorted(_decodable(container.streams.audio), key=_audio_preference)[:MAX_CANDIDATES],
    ]
    if not candidates:
        _reject_unplayable(container)
    heads = _read_heads(container, candidates)
    video = next((h for h in heads if isinstance(h.stream, VideoStream) and h.frames), None)
    audio = next((h for h in heads if isinstance(h.stream, AudioStream) and h.frames), None)
    found = [head for head in (video, audio) if head is not None]
    if not found:
        codecs = sorted({stream.codec_context.name for stream in candidates})
        reject("undecodable", f"nothing in the file can be decoded (tried {', '.join(codecs)})")
    origin = min(head.first_time for head in found)
    tails = _tails(container, found)
    if any(tails[head.stream.index].end - origin > MAX_DURATION_S for head in found):
        reject("too_long", f"the file is longer than {MAX_DURATION_S // 3600} hours")
    return ProbeResult(
        container=_format(container),
        size_bytes=size_bytes,
        origin=origin,
        seekable=video is not None and _is_seekable(container, video, tails[video.stream.index]),
        video=_video_track(video, tails[video.stream.index]) if video else None,
        audio=_audio_track(audio, tails[audio.stream.index]) if audio else None,
    )


def _format(container: InputContainer) -> str:
    return container.format.name.split(",")[0]


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


def _read_heads(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream]
) -> list[Head]:
    heads = {s.index: Head(s, _decoder(s), HEAD_FRAMES) for s in streams}
    read_bytes = 0
    for count, packet in enumerate(packets(container, *streams)):
        head = heads[packet.stream_index]
        ticks = packet.pts if packet.pts is not None else packet.dts
        head.is_timed = head.is_timed and (packet.pts is not None or not packet.size)
        if ticks is not None and len(head.times) < RATE_PACKETS:
            head.times.append(ticks * packet.time_base)
        if len(head.frames) < head.wanted:
            head.take(head.decoder.feed(packet))
        read_bytes += packet.size
        if count >= MAX_HEAD_PACKETS or read_bytes >= MAX_HEAD_BYTES:
            break
        if all(head.is_complete for head in heads.values()):
            break
    for head in heads.values():
        if len(head.frames) < head.wanted:
            head.take(head.decoder.drain())
    return list(heads.values())


def _decoder(stream: VideoStream | AudioStream) -> Decoder[VideoFrame] | Decoder[AudioFrame]:
    if isinstance(stream, VideoStream):
        return Decoder(stream, VideoFrame)
    return Decoder(stream, AudioFrame)


class Tail(NamedTuple):
    """Of a stream's last packet."""

    start: Fraction
    end: Fraction


def _tails(container: InputContainer, heads: Sequence[Head]) -> dict[int, Tail]:
    """How each stream really ends. Raises TaskFailed for a file whose header declares clearly
    more."""
    tails = {head.stream.index: _sought_tail(container, head.stream) for head in heads}
    declared = {head.stream.index: _declared_end(container, head.stream) for head in heads}
    if all(_is_whole(tails[index], declared[index]) for index in tails):
        return {index: tail for index, tail in tails.items() if tail is not None}
    container.seek(container.start_time or 0)
    scanned = _scanned_tails(container, *container.streams)
    longest = max(scanned.values(), key=lambda tail: tail.end, default=None)
    for head in heads:
        limit = declared[head.stream.index]
        is_own_limit = head.stream.duration is not None
        reached = scanned.get(head.stream.index) if is_own_limit else longest
        if not _is_whole(reached, limit):
            reject(
                "truncated",
                f"the file is cut short: it should be {float(limit or 0):.1f} s long, but its "
                f"{head.stream.type} ends after {float(reached.end if reached else 0):.1f} s",
            )
    nothing = {head.stream.index: Tail(head.first_time, head.first_time) for head in heads}
    return nothing | scanned


def _is_whole(tail: Tail | None, declared: Fraction | None) -> bool:
    return tail is not None and (declared is None or tail.end >= declared - TAIL_TOLERANCE_S)


def _declared_end(container: InputContainer, stream: Stream) -> Fraction | None:
    if _format(container) not in DECLARING_FORMATS:
        return None
    if _format(container) == "avi" and isinstance(stream, VideoStream) and stream.average_rate:
        # libavformat shortens the duration of a cut AVI file, but not its count of frames.
        return stream.frames / stream.average_rate
    if stream.duration is not None and stream.time_base is not None:
        return (stream.duration + (stream.start_time or 0)) * stream.time_base
    # Some containers count from 0 and some from their start: the smaller of the two is sure.
    return Fraction(container.duration, av.time_base) if container.duration else None


def _sought_tail(container: InputContainer, stream: Stream) -> Tail | None:
    """From a seek close to the end; None if that finds nothing."""
    if stream.time_base is None or not container.duration:
        return None
    end = Fraction(container.duration + (container.start_time or 0), av.time_base)
    if stream.duration is not None:
        end = (stream.duration + (stream.start_time or 0)) * stream.time_base
    try:
        container.seek(round((end - TAIL_S) / stream.time_base), stream=stream)
    except FFmpegError:
        return None
    return _scanned_tails(container, stream).get(stream.index)


def _scanned_tails(container: InputContainer, *streams: Stream) -> dict[int, Tail]:
    """Reads on to the end of the file."""
    tails: dict[int, Tail] = {}
    for packet in packets(container, *streams):
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is not None and packet.size and not packet.is_corrupt:
            start = ticks * packet.time_base
            tail = Tail(start, start + (packet.duration or 0) * packet.time_base)
            tails[packet.stream_index] = max(tail, tails.get(packet.stream_index, tail))
    return tails


def _is_seekable(container: InputContainer, head: Head, tail: Tail) -> bool:
    """Whether chunks may be decoded on their own: an index over the whole length, and times that
    every frame has. The tail was sought already, which is when Matroska reads its index."""
    entries, time_base = head.stream.index_entries, head.stream.time_base
    if _format(container) not in SEEKABLE_FORMATS or not len(entries) or time_base is None:
        return False
    indexed = entries[len(entries) - 1].timestamp * time_base - head.first_time
    length = tail.end - head.first_time
    return head.is_timed and (indexed >= length / 2 or length < 2 * TAIL_S)


def _video_track(head: Head, tail: Tail) -> VideoTrack:
    frames = [frame for frame in head.frames if isinstance(frame, VideoFrame)]
    assert isinstance(head.stream, VideoStream)
    first = frames[0]
    orientation = _orientation(first)
    width, height = _display_size(head.stream, first, orientation)
    interlaced = sum(frame.interlaced_frame for frame in frames) * 2 > len(frames)
    rate = _frame_rate(head, interlaced=interlaced)
    tone_map = _TONE_MAPS.get(first.color_trc, ToneMap.NONE)
    return VideoTrack(
        stream_index=head.stream.index,
        codec=head.stream.codec_context.name,
        width=width,
        height=height,
        rate=rate,
        end=max(tail.end, tail.start + 1 / rate.fraction),  # many packets have no duration
        orientation=orientation,
        interlaced=interlaced,
        tone_map=tone_map,
        colour=_colour(first) if tone_map is ToneMap.NONE else BT709,
    )


def _audio_track(head: Head, tail: Tail) -> AudioTrack:
    frame = head.frames[0]
    assert isinstance(frame, AudioFrame)
    return AudioTrack(
        stream_index=head.stream.index,
        codec=head.stream.codec_context.name,
        channels=len(frame.layout.channels),
        sample_rate=frame.sample_rate,
        end=tail.end,
    )


def _frame_rate(head: Head, *, interlaced: bool) -> FrameRate:
    times = head.times
    if interlaced:
        times = [time for frame in head.frames if (time := frame_time(frame)) is not None]
    gaps = [later - earlier for earlier, later in pairwise(sorted(times)) if later > earlier]
    if not gaps:
        return FrameRate(25, 1)  # one picture
    median = statistics.median_low(gaps)
    # Millisecond time bases give 60/s as gaps of 16 and 17: the mean of the usual gaps is exact.
    usual = [gap for gap in gaps if median / 2 < gap < median * 3 / 2]
    return nearest_standard_rate(sum(usual, Fraction(0)) / len(usual))


def _display_size(
    stream: VideoStream, frame: VideoFrame, orientation: Orientation
) -> tuple[int, int]:
    if max(frame.width, frame.height) > MAX_SIDE_PIXELS:
        reject(
            "too_large",
            f"the picture is {frame.width}x{frame.height}; at most {MAX_SIDE_PIXELS} pixels "
            "a side can be encoded",
        )
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not aspect or not Fraction(1, 10) <= aspect <= 10:
        aspect = Fraction(1)
    width, height = min(round(frame.width * aspect), MAX_SIDE_PIXELS), frame.height
    if min(width, height) < MIN_SIDE_PIXELS:
        reject("too_small", f"the picture is only {width}x{height} pixels")
    return (height, width) if orientation.swaps_sides else (width, height)


_ORIENTATIONS = {  # signs of the display matrix's a, b, c, d, the dominant diagonal kept
    (1, 0, 0, 1): Orientation.UPRIGHT,
    (-1, 0, 0, 1): Orientation.MIRROR,
    (1, 0, 0, -1): Orientation.FLIP,
    (-1, 0, 0, -1): Orientation.HALF_TURN,
    (0, 1, -1, 0): Orientation.CLOCKWISE,
    (0, -1, 1, 0): Orientation.COUNTERCLOCKWISE,
    (0, 1, 1, 0): Orientation.TRANSPOSE,
    (0, -1, -1, 0): Orientation.TRANSVERSE,
}


_MATRIX = struct.Struct("<9i")  # a b u, c d v, x y w in 16.16 and 2.30 fixed point


def _orientation(frame: VideoFrame) -> Orientation:
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(side_data, Buffer) or side_data.buffer_size < _MATRIX.size:
        return Orientation.UPRIGHT
    a, b, _, c, d, *_ = _MATRIX.unpack_from(bytes(side_data))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    signs = (_sign(a), _sign(b), _sign(c), _sign(d))
    return _ORIENTATIONS.get(signs, Orientation.UPRIGHT)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


# Code points of ITU-T H.273.
BT709 = Colour(1, 1, 1)
_BT601 = Colour(6, 6, 6)
_TONE_MAPS = {16: ToneMap.PQ, 18: ToneMap.HLG}
_KEPT_PRIMARIES = {1, 5, 6, 9, 12}
_KEPT_TRANSFERS = {1, 6, 13, 14, 15}  # what HLS calls SDR
_KEPT_MATRICES = {1, 5, 6}
_HD_LINES = 720


def _colour(frame: VideoFrame) -> Colour:
    """The source's own SDR colour, with what it leaves open decided by its size, as players do."""
    usual = BT709 if frame.height >= _HD_LINES or frame.width >= 1280 else _BT601
    matrix = frame.colorspace if frame.colorspace in _KEPT_MATRICES else usual.matrix
    return Colour(
        frame.color_primaries if frame.color_primaries in _KEPT_PRIMARIES else usual.primaries,
        frame.color_trc if frame.color_trc in _KEPT_TRANSFERS else usual.transfer,
        matrix,
    )
