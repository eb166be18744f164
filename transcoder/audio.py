"""The sound of a whole title: decoded once, in order, every audio rung encoded from it."""

from __future__ import annotations  # Packet[...] exists for the type checker only

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import InputContainer
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AllPulled
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream

from media.plan import AudioPlan, AudioRung, Plan
from media.timeline import AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, round_half_up
from native import mux
from stores.objects.base import Source
from transcoder.messages import MediaSegment
from transcoder.segmenter import read_back, read_back_init
from transcoder.source import Decoder, frame_time, opened, packets, reject
from transcoder.work import Send

SAMPLE_FORMAT = "fltp"  # what FFmpeg's AAC encoder takes
# The resampler follows the source's clock: small drift is stretched away, up to this many
# samples a second, and a gap of 0.1 s or more is filled with silence.
DRIFT_SAMPLES_PER_S = 1000
# It fills a gap all at once, in memory, and a few bytes can claim one of hours: longer gaps are
# filled here, a frame at a time.
LONGEST_RESAMPLED_GAP_S = 1
# A clock that goes back by more was reset (joined recordings): the sound goes on without a cut.
CLOCK_RESET_S = 1
# One packet of PCM can be as large as its file, and resampling multiplies it.
MAX_FRAME_SAMPLES = 1 << 16
MIN_SAMPLE_RATE = 1000
MAX_FAILED_SHARE = Fraction(1, 5)
# Sound is encoded many times faster than it is played: with the start done, pictures go first.
HEAD_START_SEGMENTS = 4
NICER = 10


def encode_audio(send: Send, source: Source, plan: Plan) -> None:
    assert plan.audio is not None
    encoders = [AacEncoder(plan, rung, send) for rung in plan.audio.rungs]
    head_start = plan.audio_boundaries[: HEAD_START_SEGMENTS + 1][-1]
    encoded = 0
    with opened(source) as (container, _):
        for frame in exact_length(_converted(container, plan, plan.audio), plan.audio):
            for encoder in encoders:
                encoder.encode(frame)
            if encoded < head_start <= encoded + frame.samples:
                os.nice(NICER)
            encoded += frame.samples
    for encoder in encoders:
        encoder.finish()


def exact_length(frames: Iterator[AudioFrame], audio: AudioPlan) -> Iterator[AudioFrame]:
    """Frames of 1024 samples, padded with silence or cut to the planned count."""
    graph = Graph()
    layout = _layout(audio)
    source = graph.add_abuffer(
        sample_rate=AUDIO_SAMPLE_RATE,
        format=SAMPLE_FORMAT,
        layout=layout,
        time_base=Fraction(1, AUDIO_SAMPLE_RATE),
    )
    pad = graph.add("apad", f"whole_len={audio.sample_count}")
    trim = graph.add("atrim", f"end_sample={audio.sample_count}")
    graph.link_nodes(source, pad, trim, graph.add("abuffersink")).configure()
    graph.set_audio_frame_size(AAC_FRAME_SAMPLES)
    left = audio.sample_count
    for frame in _with_end(frames):
        graph.push(frame)
        for exact in _pulled(graph):
            left -= exact.samples
            yield exact
        if left <= 0:
            return


def _with_end(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame | None]:
    yield from frames
    yield None


def _converted(container: InputContainer, plan: Plan, audio: AudioPlan) -> Iterator[AudioFrame]:
    """Gapless frames at 48 kHz from media time 0."""
    converter = Converter(audio)
    for frame in _decoded(container, audio):
        time = frame_time(frame)
        yield from converter.push(frame, None if time is None else time - Fraction(*plan.origin))
    yield from converter.drain()


def _decoded(container: InputContainer, audio: AudioPlan) -> Iterator[AudioFrame]:
    stream = container.streams[audio.stream_index]
    assert isinstance(stream, AudioStream)
    decoder = Decoder(stream, AudioFrame)
    for packet in packets(container, stream):
        yield from decoder.feed(packet)
    yield from decoder.drain()
    if decoder.failures > 2 and decoder.failures > decoder.packets * MAX_FAILED_SHARE:
        reject(
            "undecodable", f"{decoder.failures} of {decoder.packets} pieces of sound are damaged"
        )


class Converter:
    """Resampling, downmix, gaps and drift. A source that changes its format midway gets a new
    graph that goes on at the sample where the old one ended."""

    def __init__(self, audio: AudioPlan) -> None:
        self._audio = audio
        self._graph: Graph | None = None
        self._format: tuple[object, ...] = ()
        self._produced = 0
        self._next_time = Fraction(0)

    def push(self, frame: AudioFrame, time: Fraction | None) -> Iterator[AudioFrame]:
        if time is None or time < self._next_time - CLOCK_RESET_S:
            time = self._next_time
        if time * AUDIO_SAMPLE_RATE >= self._audio.sample_count:
            return  # nobody will hear it, and the time may be a damaged one
        if time > self._next_time + LONGEST_RESAMPLED_GAP_S:
            yield from self._silence(until=round_half_up(time * AUDIO_SAMPLE_RATE))
        self._next_time = time + Fraction(frame.samples, frame.sample_rate)
        is_large = frame.samples > MAX_FRAME_SAMPLES
        found = (frame.sample_rate, frame.format.name, frame.layout.name, is_large)
        if self._graph is None or found != self._format:
            yield from self.drain()
            self._graph, self._format = self._built(frame, is_large=is_large), found
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round_half_up(time * frame.sample_rate)
        self._graph.push(frame)
        yield from self._counted()

    def drain(self) -> Iterator[AudioFrame]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._counted()
            self._graph = None

    def _silence(self, *, until: int) -> Iterator[AudioFrame]:
        yield from self.drain()
        while self._produced < until:
            samples = min(AAC_FRAME_SAMPLES, until - self._produced)
            frame = AudioFrame(SAMPLE_FORMAT, _layout(self._audio), samples)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.time_base = AUDIO_SAMPLE_RATE, Fraction(1, AUDIO_SAMPLE_RATE)
            frame.pts = self._produced
            self._produced += samples
            yield frame

    def _counted(self) -> Iterator[AudioFrame]:
        assert self._graph is not None
        for frame in _pulled(self._graph):
            frame.pts = self._produced
            self._produced += frame.samples
            yield frame

    def _built(self, frame: AudioFrame, *, is_large: bool) -> Graph:
        if frame.sample_rate < MIN_SAMPLE_RATE:
            reject("undecodable", f"sound at {frame.sample_rate} samples a second is not supported")
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format,
            layout=frame.layout,
            time_base=Fraction(1, frame.sample_rate),
        )
        pieces = [graph.add("asetnsamples", f"{AAC_FRAME_SAMPLES}:pad=0")] if is_large else []
        resample = graph.add(
            "aresample",
            f"{AUDIO_SAMPLE_RATE}:async={DRIFT_SAMPLES_PER_S}:first_pts={self._produced}",
        )
        form = graph.add(
            "aformat",
            f"sample_fmts={SAMPLE_FORMAT}:sample_rates={AUDIO_SAMPLE_RATE}"
            f":channel_layouts={_layout(self._audio)}",
        )
        graph.link_nodes(source, *pieces, resample, form, graph.add("abuffersink")).configure()
        return graph


class AacEncoder:
    """Encodes and cuts one audio rung."""

    def __init__(self, plan: Plan, rung: AudioRung, send: Send) -> None:
        assert plan.audio is not None
        self._rung = rung
        self._send = send
        self._spans = enumerate(pairwise(plan.audio_boundaries))
        self._number, (self._start, self._end) = next(self._spans)
        self._is_primed = False
        self._samples: list[tuple[Packet[Stream], int, int, bool]] = []
        self._context = _open_aac(rung)
        send(read_back_init(rung.name, self._init_segment()))

    def encode(self, frame: AudioFrame) -> None:
        self._cut(self._context.encode(frame))

    def finish(self) -> None:
        self._cut(self._context.encode(None))
        assert not self._samples and self._number < 0, "the encoder kept sound back"

    def _cut(self, encoded: list[Packet[Stream]]) -> None:
        for packet in encoded:
            if not self._is_primed:
                # The first packet holds the encoder's delay. Without it sound starts at 0 in
                # every player; an edit list over it is ignored by some.
                self._is_primed = True
                continue
            self._samples.append((packet, AAC_FRAME_SAMPLES, 0, True))
            if len(self._samples) * AAC_FRAME_SAMPLES == self._end - self._start:
                self._send(self._segment())

    def _segment(self) -> MediaSegment:
        data = mux.segment(
            self._samples,
            sequence_number=self._number + 1,
            base_media_decode_time=self._start,
        )
        message = read_back(self._rung.name, self._number, data, nal_length_size=0)
        self._samples = []
        self._number, (self._start, self._end) = next(self._spans, (-1, (0, 0)))
        return message

    def _init_segment(self) -> bytes:
        assert self._context.extradata is not None
        return mux.audio_init(
            timescale=AUDIO_SAMPLE_RATE,
            channels=self._rung.channels,
            asc=self._context.extradata,
            bit_rate=self._rung.bit_rate,
        )


def _open_aac(rung: AudioRung) -> AudioCodecContext:
    context = av.CodecContext.create("aac", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = AUDIO_SAMPLE_RATE
    context.format = SAMPLE_FORMAT
    context.layout = "mono" if rung.channels == 1 else "stereo"
    context.bit_rate = rung.bit_rate
    context.time_base = Fraction(1, AUDIO_SAMPLE_RATE)
    context.flags |= Flags.global_header
    context.open()
    return context


def _layout(audio: AudioPlan) -> str:
    return "mono" if audio.rungs[0].channels == 1 else "stereo"


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (NothingYet, AllPulled):
            return
        assert isinstance(frame, AudioFrame)
        yield frame
