"""Filter graphs between the decoder and the encoders."""

from collections.abc import Sequence
from fractions import Fraction

import av
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AllPulled
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from media.plan import Orientation, Rung, ToneMap, VideoPlan
from transcoder import tonemap
from transcoder.encoder import PIXEL_FORMAT

SCALER = "bicubic"

_TURNS: dict[Orientation, Sequence[tuple[str, str]]] = {
    Orientation.UPRIGHT: (),
    Orientation.CLOCKWISE: (("transpose", "clock"),),
    Orientation.COUNTERCLOCKWISE: (("transpose", "cclock"),),
    Orientation.TRANSPOSE: (("transpose", "cclock_flip"),),
    Orientation.TRANSVERSE: (("transpose", "clock_flip"),),
    Orientation.HALF_TURN: (("hflip", ""), ("vflip", "")),
    Orientation.MIRROR: (("hflip", ""),),
    Orientation.FLIP: (("vflip", ""),),
}

# FFmpeg's names of the matrix coefficients of ITU-T H.273 that its scaler knows.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
_FULL_RANGE = 2


class Deinterlacer:
    """One frame out per interlaced frame in, a frame late; progressive frames pass untouched."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._geometry: tuple[object, ...] = ()

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        if self._graph is None or self._geometry != _geometry(frame):
            self._graph, self._geometry = Graph(), _geometry(frame)
            source = _buffer(self._graph, frame)
            bwdif = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
            sink = self._graph.add("buffersink")
            self._graph.link_nodes(source, bwdif, sink).configure()
        self._graph.vpush(frame)
        return _pulled(self._graph)

    def drain(self) -> list[VideoFrame]:
        if self._graph is None:
            return []
        self._graph.vpush(None)
        return _pulled(self._graph)


class Scaler:
    """One decoded frame in, one frame per rung out: upright, square pixels, limited range, SDR.

    Each rung is scaled from the next larger one, which measured a third less work than scaling
    all from the source. A source that changes its format midway gets a new graph.
    """

    def __init__(self, plan: VideoPlan) -> None:
        self._plan = plan
        self._geometry: tuple[object, ...] = ()
        self._graph: Graph | None = None  # its filters do not keep it alive
        self._source: FilterContext | None = None
        self._sinks: list[FilterContext] = []

    def scale(self, frame: VideoFrame) -> list[VideoFrame]:
        if self._source is None or self._geometry != _geometry(frame):
            self._build(frame)
        assert self._source is not None
        self._source.push(frame)
        frames = [sink.pull() for sink in self._sinks]
        assert all(isinstance(frame, VideoFrame) for frame in frames)
        return frames  # type: ignore[return-value]

    def _build(self, frame: VideoFrame) -> None:
        self._graph = graph = Graph()
        graph.threads = 1
        self._geometry = _geometry(frame)
        self._source = last = _buffer(graph, frame)
        for name, arguments in _TURNS[self._plan.orientation]:
            last = _then(graph, last, name, arguments)
        top, *lower = self._plan.rungs
        table: FilterContext | None = None
        if self._plan.tone_map is ToneMap.NONE:
            last = _then(graph, last, "scale", self._conversion(top, frame))
        else:
            last, table = tonemap.attach(graph, last, top)
        last = _then(graph, last, "format", PIXEL_FORMAT)
        self._sinks = []
        for rung in lower:
            split = _then(graph, last, "split", "2")
            self._sinks.append(_then(graph, split, "buffersink"))
            last = graph.add("scale", f"{rung.width}:{rung.height}:flags={SCALER}")
            split.link_to(last, 1)
        self._sinks.append(_then(graph, last, "buffersink"))
        graph.configure()
        if table is not None:
            table.push(tonemap.hald_picture(self._plan.tone_map))
            table.push(None)

    def _conversion(self, rung: Rung, frame: VideoFrame) -> str:
        kept = self._plan.colour.matrix
        # What the source leaves open was decided by the probe; equal names mean no conversion.
        found = frame.colorspace if frame.colorspace in _MATRICES else kept
        return (
            f"{rung.width}:{rung.height}:flags={SCALER}:out_range=limited"
            f":in_color_matrix={_MATRICES[found]}:out_color_matrix={_MATRICES[kept]}"
        )


def _geometry(frame: VideoFrame) -> tuple[object, ...]:
    return (frame.width, frame.height, frame.format.name, frame.color_range, frame.colorspace)


def _buffer(graph: Graph, frame: VideoFrame) -> FilterContext:
    time_base = frame.time_base or Fraction(1, av.time_base)
    is_full_range = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base.numerator}/{time_base.denominator}:pixel_aspect=1/1"
        f":colorspace={frame.colorspace}:range={'pc' if is_full_range else 'tv'}",
    )


def _then(graph: Graph, last: FilterContext, name: str, arguments: str = "") -> FilterContext:
    node = graph.add(name, arguments or None)
    last.link_to(node)
    return node


def _pulled(graph: Graph) -> list[VideoFrame]:
    frames = []
    while True:
        try:
            frames.append(graph.vpull())
        except (NothingYet, AllPulled):
            return frames
