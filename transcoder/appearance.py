"""How a decoded picture is meant to be seen: its size, its way up and its colour."""

import struct
from fractions import Fraction

from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.plan import Colour, Orientation, ToneMap
from transcoder.source import reject

MAX_SIDE_PIXELS = 8192
MIN_SIDE_PIXELS = 16

# Code points of ITU-T H.273.
BT709 = Colour(1, 1, 1)
_BT601 = Colour(6, 6, 6)
TONE_MAPS = {16: ToneMap.PQ, 18: ToneMap.HLG}
_KEPT_PRIMARIES = {1, 5, 6, 9, 12}
_KEPT_TRANSFERS = {1, 6, 13, 14, 15}  # what HLS calls SDR
_KEPT_MATRICES = {1, 5, 6}
_HD_LINES = 720

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


def display_size(
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


def orientation_of(frame: VideoFrame) -> Orientation:
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


def colour_of(frame: VideoFrame) -> Colour:
    """The source's own SDR colour, with what it leaves open decided by its size, as players do."""
    usual = BT709 if frame.height >= _HD_LINES or frame.width >= 1280 else _BT601
    matrix = frame.colorspace if frame.colorspace in _KEPT_MATRICES else usual.matrix
    return Colour(
        frame.color_primaries if frame.color_primaries in _KEPT_PRIMARIES else usual.primaries,
        frame.color_trc if frame.color_trc in _KEPT_TRANSFERS else usual.transfer,
        matrix,
    )
