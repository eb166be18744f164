"""Where a file really ends, and whether that is where it says it ends."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream

from transcoder.source import format_name, packets, reject, rewind

# An end that is missing up to this much is a recorder's rounding; more is a cut file, and its
# owner wants to know that now, not when a viewer asks for the rest.
TAIL_TOLERANCE_S = 1
TAIL_S = 2
NOTABLE_S = Fraction(1, 4)  # from here on its owner is told what is missing

# Formats whose header says how long the file is; in others the duration is itself a guess.
DECLARING_FORMATS = {"mov", "matroska", "avi", "asf", "flv", "wav", "w64", "flac", "caf", "aiff"}


class Tail(NamedTuple):
    """Of a stream's last packet."""

    start: Fraction
    end: Fraction


def tails(container: InputContainer, *streams: Stream) -> dict[int, Tail]:
    """How each stream really ends. Raises TaskFailed for a file whose header declares clearly
    more."""
    sought = {stream.index: _sought_tail(container, stream) for stream in streams}
    declared = {stream.index: _declared_end(container, stream) for stream in streams}
    if all(_is_whole(sought[index], declared[index]) for index in sought):
        return {index: tail for index, tail in sought.items() if tail is not None}
    rewind(container)
    scanned = _scanned_tails(container, *container.streams)
    longest = max(scanned.values(), key=lambda tail: tail.end, default=None)
    for stream in streams:
        limit = declared[stream.index]
        own = scanned.get(stream.index)
        reached = own if stream.duration is not None else longest
        if own is None or not _is_whole(reached, limit):
            reject(
                "truncated",
                f"the file is cut short: it should be {float(limit or 0):.1f} s long, but its "
                f"{stream.type} ends after {float(reached.end if reached else 0):.1f} s",
            )
    return scanned


def missing_ends(
    container: InputContainer, streams: Iterable[Stream], found: Mapping[int, Tail]
) -> Iterator[str]:
    """What is cut off and tolerated, in words. Only of streams that have their own length: one
    of the whole file may be that of its subtitles."""
    for stream in streams:
        limit = _declared_end(container, stream) if stream.duration is not None else None
        missing = Fraction(0) if limit is None else limit - found[stream.index].end
        if missing >= NOTABLE_S:
            kind = "sound" if stream.type == "audio" else "video"
            yield f"The last {float(missing):.1f} s of the {kind} are missing from the file."


def _is_whole(tail: Tail | None, declared: Fraction | None) -> bool:
    return tail is not None and (declared is None or tail.end >= declared - TAIL_TOLERANCE_S)


def _declared_end(container: InputContainer, stream: Stream) -> Fraction | None:
    if format_name(container) not in DECLARING_FORMATS:
        return None
    if format_name(container) == "avi" and isinstance(stream, VideoStream) and stream.average_rate:
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
    found: dict[int, Tail] = {}
    for packet in packets(container, *streams):
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is not None and not packet.is_corrupt:
            start = ticks * packet.time_base
            tail = Tail(start, start + (packet.duration or 0) * packet.time_base)
            found[packet.stream_index] = max(tail, found.get(packet.stream_index, tail))
    return found
