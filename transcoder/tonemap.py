"""HDR to SDR: a colour look-up table applied by libavfilter.

The table maps every BT.2020 PQ or HLG colour to BT.709 for a display of 203 cd/m2 (BT.2408
reference white). Highlights are rolled off with the EETF of ITU-R BT.2390 on the largest of R,
G and B, which keeps hues; plain conversion gives washed-out pictures.
"""

import array
import math
from collections.abc import Iterator
from itertools import product

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from media.plan import Rung, ToneMap

HALD_LEVEL = 6  # a cube of 36 entries a side, stored as a picture of 216x216
CUBE_SIDE = HALD_LEVEL**2
RGB_FORMAT = "gbrp16le"  # measured three times faster here than ten bits
RGB_MAX = 65_535

SOURCE_PEAK_NITS = 1000.0
TARGET_PEAK_NITS = 203.0
DISPLAY_GAMMA = 2.4  # BT.1886
HLG_SYSTEM_GAMMA = 1.2  # BT.2100, for a display of 1000 cd/m2

# BT.2087: linear BT.2020 to linear BT.709.
_TO_709 = (
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)

Linear = tuple[float, float, float]


def attach(graph: Graph, last: FilterContext, rung: Rung) -> tuple[FilterContext, FilterContext]:
    """Scale to the rung and map to SDR. Returns the last filter, and the buffer that wants
    `hald_picture` once the graph is configured."""
    scale = graph.add("scale", f"{rung.width}:{rung.height}:flags=bicubic:in_color_matrix=bt2020")
    to_rgb = graph.add("format", RGB_FORMAT)
    side = HALD_LEVEL**3
    table = graph.add(
        "buffer",
        f"video_size={side}x{side}:pix_fmt={RGB_FORMAT}:time_base=1/1:colorspace=gbr:range=pc",
    )
    lookup = graph.add("haldclut", "clut=first")
    to_yuv = graph.add("scale", "out_color_matrix=bt709:out_range=limited")
    last.link_to(scale)
    scale.link_to(to_rgb)
    to_rgb.link_to(lookup, 0, 0)
    table.link_to(lookup, 0, 1)
    lookup.link_to(to_yuv)
    return to_yuv, table


def hald_picture(kind: ToneMap) -> VideoFrame:
    """Red changes fastest, then green, then blue, row after row."""
    planes = [array.array("H") for _ in range(3)]
    for colour in _mapped_cube(kind):
        for plane, value in zip(planes, colour, strict=True):
            plane.append(round(value * RGB_MAX))
    side = HALD_LEVEL**3
    frame = VideoFrame(side, side, RGB_FORMAT)
    red, green, blue = planes
    for target, values in zip(frame.planes, (green, blue, red), strict=True):
        rows = bytearray(target.buffer_size)
        for row in range(side):
            data = values[row * side : (row + 1) * side].tobytes()
            rows[row * target.line_size : row * target.line_size + len(data)] = data
        target.update(bytes(rows))
    frame.pts = 0
    return frame


def _mapped_cube(kind: ToneMap) -> Iterator[Linear]:
    codes = [n / (CUBE_SIDE - 1) for n in range(CUBE_SIDE)]
    to_linear = _pq_to_nits if kind is ToneMap.PQ else _hlg_to_scene
    axis = [to_linear(code) for code in codes]
    for blue, green, red in product(axis, axis, axis):
        colour = (red, green, blue) if kind is ToneMap.PQ else _hlg_display(red, green, blue)
        yield _to_sdr(colour)


def _to_sdr(nits: Linear) -> Linear:
    peak = max(nits)
    scale = _rolled_off(peak) / peak / TARGET_PEAK_NITS if peak > 0 else 0.0
    red, green, blue = (channel * scale for channel in nits)
    linear = [x * red + y * green + z * blue for x, y, z in _TO_709]
    r, g, b = (math.pow(min(1.0, max(0.0, value)), 1 / DISPLAY_GAMMA) for value in linear)
    return r, g, b


# SMPTE ST 2084.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_to_nits(code: float) -> float:
    root = math.pow(code, 1 / _M2)
    return 10_000 * math.pow(max(root - _C1, 0) / (_C2 - _C3 * root), 1 / _M1)


def _nits_to_pq(nits: float) -> float:
    power = math.pow(nits / 10_000, _M1)
    return math.pow((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


_SOURCE_PEAK_PQ = _nits_to_pq(SOURCE_PEAK_NITS)
_TARGET_PEAK = _nits_to_pq(TARGET_PEAK_NITS) / _SOURCE_PEAK_PQ
_KNEE = 1.5 * _TARGET_PEAK - 0.5


def _rolled_off(nits: float) -> float:
    """BT.2390-10 section 5.4.1.1, without black level lift."""
    code = min(1.0, _nits_to_pq(nits) / _SOURCE_PEAK_PQ)
    if code <= _KNEE:
        return nits
    t = (code - _KNEE) / (1 - _KNEE)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * _KNEE
        + (t**3 - 2 * t**2 + t) * (1 - _KNEE)
        + (-2 * t**3 + 3 * t**2) * _TARGET_PEAK
    )
    return _pq_to_nits(spline * _SOURCE_PEAK_PQ)


# ARIB STD-B67, as in BT.2100.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073


def _hlg_to_scene(code: float) -> float:
    return code * code / 3 if code <= 0.5 else (math.exp((code - _C) / _A) + _B) / 12


def _hlg_display(red: float, green: float, blue: float) -> Linear:
    luminance = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    gain = SOURCE_PEAK_NITS * luminance ** (HLG_SYSTEM_GAMMA - 1) if luminance > 0 else 0.0
    return (gain * red, gain * green, gain * blue)
