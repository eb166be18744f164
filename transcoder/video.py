"""One chunk of a video: decoded once, every rung encoded from it in parallel threads."""

from __future__ import annotations  # Packet[...] exists for the type checker only

import queue
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from media.plan import Chunk, Plan, Rung, VideoPlan
from stores.objects.base import Source
from transcoder.encoder import open_encoder
from transcoder.picture import Deinterlacer, Scaler
from transcoder.segmenter import VideoSegmenter, key_slots
from transcoder.source import Decoder, frame_time, opened, packets, reject, rewind
from transcoder.work import Send

QUEUED_FRAMES = 6  # per rung, between the scaler and an encoder

# Key frames are looked for further and further back until one precedes the chunk's first frame;
# containers that sort by decoding time may land a few frames late. None is the very start.
SEEK_MARGINS_S = (0, 2, 10, None)
DEINTERLACE_MARGINS_S = (1, 4, 12, None)  # the filter needs frames before the first one

# Isolated damage is bridged by the picture before it. Past these limits it is not the title that
# was uploaded any more: packets of a chunk that do not decode; pictures, as a share of the whole
# title, that are damaged or were made from damaged ones; and fewer pictures than packets, where
# two packets may hold the two fields of one picture.
MAX_FAILED_SHARE = Fraction(1, 5)
MAX_SPOILED_SHARE = Fraction(1, 5)
MIN_SHOWN_SHARE = Fraction(1, 3)
MAX_IN_DECODER = 64  # packets that a decoder may hold when a chunk has all of its pictures

Picture = tuple[VideoFrame, range]  # a scaled frame and the slots that show it


def encode_chunk(send: Send, source: Source, plan: Plan, chunk: Chunk) -> None:
    assert plan.video is not None
    last = chunk.first_segment + chunk.segment_count
    boundaries = plan.video_boundaries[chunk.first_segment : last + 1]
    keys = frozenset(key_slots(boundaries, plan.gop_frames))
    encoders = [RungEncoder(plan, rung, chunk, keys, send) for rung in plan.video.rungs]
    scaler = Scaler(plan.video)
    with opened(source) as (container, _):
        reader = FrameReader(container, plan)
        frames = reader.frames_from(boundaries[0])
        for frame, slots in picked(frames, plan, boundaries[0], boundaries[-1]):
            for encoder, scaled in zip(encoders, scaler.scale(frame), strict=True):
                encoder.put((scaled, slots))
        reader.accept(boundaries[0], boundaries[-1])
    for encoder in encoders:
        encoder.put(None)
    for encoder in encoders:
        encoder.finish()


def picked(
    frames: Iterable[VideoFrame], plan: Plan, first: int, end: int
) -> Iterator[tuple[VideoFrame, range]]:
    """Which frame each slot of [first, end) shows: the last one whose own slot is not later."""
    assert plan.video is not None
    origin, rate = Fraction(*plan.origin), plan.video.rate
    held: VideoFrame | None = None
    next_slot, slot = first, first if plan.video.seekable else 0
    latest: Fraction | None = None
    for frame in frames:
        time = frame_time(frame)
        if time is None or (latest is not None and time <= latest):
            slot += 1  # decoders give frames in order: a time that goes back is a wrong one
        else:
            slot, latest = rate.slot(time - origin), time
        if slot >= end:
            break
        if held is not None and slot > next_slot:
            yield held, range(next_slot, slot)
            next_slot = slot
        held = frame
    if held is None:
        reject("undecodable", f"no picture can be decoded {_span(rate.fraction, first, end)}")
    yield held, range(next_slot, end)


class FrameReader:
    """The decoded frames of the planned stream from a place in it, deinterlaced if need be."""

    def __init__(self, container: InputContainer, plan: Plan) -> None:
        assert plan.video is not None
        self._video: VideoPlan = plan.video
        self._origin = Fraction(*plan.origin)
        self._container = container
        stream = container.streams[self._video.stream_index]
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._decoder = Decoder(stream, VideoFrame)
        self._shown = 0
        self._spoiled = 0
        self._is_spoiling = False
        self._known_failures = 0

    def frames_from(self, first_slot: int) -> Iterator[VideoFrame]:
        """At least one frame at or before the slot comes first, if the source has one."""
        frames = self._decoded_from(first_slot)
        if not self._video.deinterlace:
            yield from frames
            return
        deinterlacer = Deinterlacer()
        for frame in frames:
            yield from deinterlacer.push(frame)
        yield from deinterlacer.drain()

    def accept(self, first: int, end: int) -> None:
        """Raises TaskFailed if too much of what was read did not become pictures."""
        packets, failed = self._decoder.packets, self._decoder.failures
        where = _span(self._video.rate.fraction, first, end)
        lost = max(failed, packets - self._shown - MAX_IN_DECODER)
        if failed > packets * MAX_FAILED_SHARE or lost > packets * (1 - MIN_SHOWN_SHARE):
            reject("undecodable", f"{lost} of {packets} pictures cannot be decoded {where}")
        if self._spoiled > self._video.frame_count * MAX_SPOILED_SHARE:
            reject("damaged", f"{self._spoiled} of {self._shown} pictures are damaged {where}")

    def _decoded_from(self, first_slot: int) -> Iterator[VideoFrame]:
        if first_slot == 0 or not self._video.seekable:
            yield from self._decoded(None)
            return
        rate = self._video.rate
        margins = DEINTERLACE_MARGINS_S if self._video.deinterlace else SEEK_MARGINS_S
        for margin_s in margins:
            frames = self._decoded(self._seek(first_slot, margin_s))
            first = next(frames, None)
            if first is None:
                continue
            time = frame_time(first)
            is_early = time is not None and rate.slot(time - self._origin) <= first_slot
            if is_early or margin_s is None:
                yield first
                yield from frames
                return

    def _seek(self, slot: int, margin_s: int | None) -> Fraction | None:
        """Returns the time of the key frame that decoding starts with; `None` at the start."""
        if margin_s is None:
            rewind(self._container)
            return None
        assert self._stream.time_base is not None
        time = self._origin + slot / self._video.rate.fraction - margin_s
        try:
            self._container.seek(int(time / self._stream.time_base), stream=self._stream)
        except FFmpegError:
            rewind(self._container)
        return time

    def _decoded(self, sought: Fraction | None) -> Iterator[VideoFrame]:
        start: Fraction | None = None
        for packet in packets(self._container, self._stream):
            if sought is not None and start is None and packet.pts is not None:
                start = packet.pts * packet.time_base
            for frame in self._decoder.feed(packet):
                # Pictures that lead an open GOP refer to one that was not decoded.
                time = frame_time(frame)
                if start is None or time is None or time >= start:
                    yield self._counted(frame)
        for frame in self._decoder.drain():
            yield self._counted(frame)

    def _counted(self, frame: VideoFrame) -> VideoFrame:
        """Damage spreads over the pictures that refer to it, up to the next key frame."""
        self._shown += 1
        if self._decoder.failures > self._known_failures or frame.is_corrupt:
            self._known_failures = self._decoder.failures
            self._is_spoiling = True
        elif frame.key_frame:
            self._is_spoiling = False
        self._spoiled += self._is_spoiling
        return frame


class RungEncoder:
    """Encodes and cuts one rung in a thread of its own; libav releases the GIL."""

    def __init__(
        self, plan: Plan, rung: Rung, chunk: Chunk, keys: frozenset[int], send: Send
    ) -> None:
        assert plan.video is not None
        self._time_base = 1 / plan.video.rate.fraction
        self._keys = keys
        self._context = open_encoder(plan, rung)
        self._segmenter = VideoSegmenter(plan, rung, chunk, send)
        self._queue: queue.Queue[Picture | None] = queue.Queue(QUEUED_FRAMES)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"encode {rung.name}", daemon=True)

    def put(self, picture: Picture | None) -> None:
        if self._thread.ident is None:  # now that the source is open: see work.OnlySource
            self._thread.start()
        self._queue.put(picture)
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (picture := self._queue.get()) is not None:
                self._encode(*picture)
            self._cut(self._context.encode(None))
            self._segmenter.finish()
        except BaseException as error:  # noqa: BLE001 - raised again where the chunk is driven
            self._error = error
            while self._queue.get() is not None:
                pass

    def _encode(self, frame: VideoFrame, slots: range) -> None:
        for slot in slots:
            frame.pts, frame.time_base = slot, self._time_base
            # The decoder's type would bind the encoder to the source's pattern.
            frame.pict_type = PictureType.I if slot in self._keys else PictureType.NONE
            self._cut(self._context.encode(frame))

    def _cut(self, encoded: list[Packet[Stream]]) -> None:
        for packet in encoded:
            self._segmenter.add(packet, self._context.extradata)


def _span(rate: Fraction, first: int, end: int) -> str:
    return f"between {float(first / rate):.1f} s and {float(end / rate):.1f} s"
