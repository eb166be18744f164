"""From an encoder's packets to segments that are muxed, read back and sent."""

from __future__ import annotations  # Packet[...] exists for the type checker only

from collections.abc import Iterator, Sequence
from itertools import pairwise

from av.packet import Packet
from av.stream import Stream

from media.plan import Chunk, Plan, Rung
from native import h264, mux, reader
from transcoder.messages import InitSegment, MediaSegment
from transcoder.work import Send

NAL_LENGTH_BYTES = 4  # of the avcC that native.h264 writes


class VideoSegmenter:
    """Cuts one rung's packets at the plan's boundaries. Packets come in decoding order, one per
    frame of the chunk; closed GOPs put all of a segment's packets before the next one's IDR."""

    def __init__(self, plan: Plan, rung: Rung, chunk: Chunk, send: Send) -> None:
        assert plan.video is not None
        self._video = plan.video
        self._rung = rung
        self._send = send
        last = chunk.first_segment + chunk.segment_count
        boundaries = plan.video_boundaries[chunk.first_segment : last + 1]
        self._spans = enumerate(pairwise(boundaries), start=chunk.first_segment)
        self._number, (self._start, self._end) = next(self._spans)
        self._delay: int | None = None  # of presentation behind decoding, in frames
        self._samples: list[tuple[Packet[Stream], int, int, bool]] = []

    def add(self, packet: Packet[Stream], extradata: bytes | None) -> None:
        assert packet.pts is not None and packet.dts is not None
        if self._delay is None:
            self._delay = self._start - packet.dts
            self._send(self._init_segment(extradata, self._delay))
        decode_slot = self._start + len(self._samples)
        assert packet.dts + self._delay == decode_slot, "the encoder left the frame grid"
        ticks = self._video.rate.frame_ticks
        offset = (packet.pts + self._delay - decode_slot) * ticks
        self._samples.append((packet, ticks, offset, packet.is_keyframe))
        if len(self._samples) == self._end - self._start:
            self._cut()

    def finish(self) -> None:
        assert not self._samples and self._number < 0, "the encoder kept frames back"

    def _cut(self) -> None:
        data = mux.segment(
            self._samples,
            sequence_number=self._number + 1,
            base_media_decode_time=self._start * self._video.rate.frame_ticks,
            annexb=True,
        )
        self._send(read_back(self._rung.name, self._number, data, nal_length_size=NAL_LENGTH_BYTES))
        self._samples = []
        self._number, (self._start, self._end) = next(self._spans, (-1, (0, 0)))

    def _init_segment(self, extradata: bytes | None, delay: int) -> InitSegment:
        assert extradata is not None, "the encoder made no parameter sets"
        avcc = h264.avc_config(extradata)
        colour = self._video.colour
        data = mux.video_init(
            timescale=self._video.rate.timescale,
            width=self._rung.width,
            height=self._rung.height,
            avcc=avcc,
            media_time=delay * self._video.rate.frame_ticks,
            colour=(colour.primaries, colour.transfer, colour.matrix, False),
        )
        return read_back_init(self._rung.name, data)


def read_back_init(rendition: str, data: bytes) -> InitSegment:
    facts = reader.read_init(data)
    return InitSegment(rendition, facts.codecs, facts.timescale, data)


def read_back(rendition: str, number: int, data: bytes, *, nal_length_size: int) -> MediaSegment:
    facts = reader.read_segment(data, nal_length_size=nal_length_size)
    return MediaSegment(
        rendition=rendition,
        number=number,
        decode_time=facts.decode_time,
        duration=facts.duration,
        sample_count=facts.sample_count,
        starts_with_idr=facts.starts_with_idr,
        data=data,
    )


def key_slots(boundaries: Sequence[int], gop: int) -> Iterator[int]:
    """Frame numbers that must be IDR pictures: each segment's start, and every GOP from there."""
    for start, end in pairwise(boundaries):
        yield from range(start, end, gop)
