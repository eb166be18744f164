"""Opening an uploaded file inside a child, and reading it without trusting it."""

from __future__ import annotations  # Packet[...] exists for the type checker only

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, Generic, NoReturn, TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.asset import Failure
from media.plan import UNDETERMINED, Colour, Orientation, ToneMap
from media.timeline import FrameRate
from stores.errors import StoreError
from stores.jobs.base import TaskFailed
from stores.objects.base import Source

# Demuxers that read one file and nothing else: no playlists, image sequences or devices.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,ogg,wav,w64,flac,mp3,aac,ac3,eac3,asf,flv,mxf,aiff,caf,amr,dv"
)
AnyFrame = TypeVar("AnyFrame", VideoFrame, AudioFrame)

IO_BUFFER_BYTES = 256 * 1024
# 8K UHD, and what decoders add to fill their blocks. Said to every decoder, libavformat's own
# included, because a header may promise a small picture.
MAX_PICTURE_PIXELS = 36 << 20
_DECODER_OPTIONS = {"max_pixels": str(MAX_PICTURE_PIXELS)}
DECODE_THREADS = 2


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """Width and height as displayed: upright, square pixels."""

    stream_index: int
    codec: str
    width: int
    height: int
    rate: FrameRate
    end: Fraction
    orientation: Orientation
    interlaced: bool
    tone_map: ToneMap
    colour: Colour


@dataclass(frozen=True, slots=True)
class AudioTrack:
    stream_index: int
    codec: str
    channels: int
    sample_rate: int
    end: Fraction
    language: str = UNDETERMINED  # BCP 47


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Times are seconds of the source's own clock; `origin` becomes media time 0."""

    container: str
    size_bytes: int
    origin: Fraction
    seekable: bool
    video: VideoTrack | None
    audio: AudioTrack | None
    warnings: tuple[str, ...] = ()  # sentences for a person: what the title will lack


def reject(code: str, message: str) -> NoReturn:
    """This file will never become a title: no retry can help."""
    raise TaskFailed(Failure(code, message, retryable=False))


@contextmanager
def opened(source: Source) -> Iterator[tuple[InputContainer, int]]:
    """The container and the size of its file. A read that failed goes before whatever came of
    it: the file is not damaged because its store was away."""
    with source.open() as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        watched = _WatchedFile(file)
        try:
            with _container(watched) as container:
                yield container, size
        finally:
            if watched.failure is not None:
                raise watched.failure


class _WatchedFile:
    """Passes one failure on to libav and is at its end from then on. PyAV raises an exception of
    a callback where libav returns; of a second one before that it writes to standard error,
    which may be a file, and with no right to write files libav then reads for ever."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: Exception | None = None
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if self.failure is not None:
            return b""
        try:
            return self._file.read(size)
        except (StoreError, OSError) as error:
            self.failure = error
            raise


def _container(file: _WatchedFile) -> InputContainer:
    try:
        return av.open(
            file,
            "r",
            options={
                "format_whitelist": FORMATS,
                "protocol_whitelist": "none",
                **_DECODER_OPTIONS,
            },
            buffer_size=IO_BUFFER_BYTES,
            metadata_errors="replace",  # a tag in Latin-1 is no reason to refuse a file
            io_open=_refuse,
        )
    except (FFmpegError, ValueError) as error:
        reject("not_media", f"this is not a video or audio file that can be read ({error})")


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a source may not open another file ({url})")


def format_name(container: InputContainer) -> str:
    return container.format.name.split(",")[0]


def packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """Demuxed packets up to the end, or to the place where the container is broken: what is
    missing is noticed by counting, not here. Empty packets, PyAV's own at the end among them,
    are left out: they would put a decoder into its draining state."""
    try:
        for packet in container.demux(*streams):
            if packet.size:
                yield packet
    except FFmpegError:
        return


def rewind(container: InputContainer) -> None:
    try:
        container.seek(container.start_time or 0)
    except FFmpegError as error:
        reject("undecodable", f"the file cannot be read from its start a second time ({error})")


class Decoder(Generic[AnyFrame]):
    """One stream's frames. A packet that does not decode is counted and skipped."""

    def __init__(self, stream: VideoStream | AudioStream, frame_type: type[AnyFrame]) -> None:
        self._frame_type: type[AnyFrame] = frame_type
        self.stream = stream
        self.context = stream.codec_context
        self.packets = 0
        self.failures = 0
        self._has_presentation_times = False
        self._decoding_times: deque[int | None] = deque()  # of packets not yet out as frames
        if not self.context.is_open:
            self.context.thread_count = DECODE_THREADS
            self.context.thread_type = ThreadType.AUTO
            self.context.options = dict(_DECODER_OPTIONS)

    def feed(self, packet: Packet[Stream]) -> list[AnyFrame]:
        self.packets += 1
        self._decoding_times.append(packet.dts)
        return self._decode(packet)

    def drain(self) -> list[AnyFrame]:
        return self._decode(None)

    def _decode(self, packet: Packet[Stream] | None) -> list[AnyFrame]:
        try:
            frames = self.context.decode(packet)
        except FFmpegError:
            self.failures += 1
            self._next_decoding_time()
            return []
        return [self._timed(frame) for frame in frames if isinstance(frame, self._frame_type)]

    def _timed(self, frame: AnyFrame) -> AnyFrame:
        """Containers without presentation times (AVI) store frames at a constant rate in decoding
        order, which makes the n-th decoding time the n-th presentation time."""
        decoding_time = self._next_decoding_time()
        frame.time_base = self.stream.time_base
        self._has_presentation_times |= frame.pts is not None
        if not self._has_presentation_times:
            frame.pts = decoding_time
        return frame

    def _next_decoding_time(self) -> int | None:
        return self._decoding_times.popleft() if self._decoding_times else None


def frame_time(frame: VideoFrame | AudioFrame) -> Fraction | None:
    """Presentation time in seconds; `None` for one frame among others that have one."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
