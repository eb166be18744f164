"""How a decoded picture is meant to be seen: its size, its way up and its colour."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.plan import Colour, Orientation, ToneMap
from transcoder.source import MAX_PICTURE_PIXELS, reject

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


@dataclass(frozen=True, slots=True)
class Look:
    """Of a decoded picture; width and height as stored."""

    width: int
    height: int
    orientation: Orientation
    tone_map: ToneMap
    colour: Colour


def look_of(frame: VideoFrame) -> Look:
    tone_map = TONE_MAPS.get(frame.color_trc, ToneMap.NONE)
    return Look(
        width=frame.width,
        height=frame.height,
        orientation=orientation_of(frame),
        tone_map=tone_map,
        colour=colour_of(frame) if tone_map is ToneMap.NONE else BT709,
    )


def is_too_large(width: int, height: int) -> bool:
    return max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PICTURE_PIXELS


def reject_too_large(width: int, height: int) -> NoReturn:
    reject(
        "too_large",
        f"the picture is {width}x{height}; at most {MAX_SIDE_PIXELS} pixels a side and "
        f"{MAX_PICTURE_PIXELS // 1_000_000} million in all can be encoded",
    )


def display_size(stream: VideoStream, look: Look) -> tuple[int, int]:
    if is_too_large(look.width, look.height):
        reject_too_large(look.width, look.height)
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not aspect or not Fraction(1, 10) <= aspect <= 10:
        aspect = Fraction(1)
    width, height = min(round(look.width * aspect), MAX_SIDE_PIXELS), look.height
    if min(width, height) < MIN_SIDE_PIXELS:
        reject("too_small", f"the picture is only {width}x{height} pixels")
    return (height, width) if look.orientation.swaps_sides else (width, height)


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
