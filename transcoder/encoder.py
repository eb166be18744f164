"""Which encoder makes a rung, and with which options. One table; a new codec is a new row."""

from __future__ import annotations  # Packet[...] exists for the type checker only

from collections.abc import Callable
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media.plan import Plan, Rung
from transcoder.messages import Opened
from transcoder.work import Send

SOFTWARE = "libx264"
HARDWARE = "h264_nvenc"
PIXEL_FORMAT = "yuv420p"
# Rate control may save up this much: enough for a good key frame, and short enough that the
# peak of any six seconds stays close to the ceiling (Apple HLS authoring 1.30).
VBV_BUFFER_S = Fraction(3, 2)

_NVENC_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p2",
    "veryfast": "p3",
    "faster": "p4",
    "fast": "p4",
    "medium": "p5",
    "slow": "p6",
    "slower": "p7",
}


def _rate_control(rung: Rung) -> dict[str, str]:
    return {
        "maxrate": str(rung.max_bit_rate),
        "bufsize": str(round(rung.max_bit_rate * VBV_BUFFER_S)),
        "bf": "2",
        "forced-idr": "1",
    }


def _libx264(plan: Plan, rung: Rung) -> dict[str, str]:
    gop = str(plan.gop_frames)
    return _rate_control(rung) | {
        "preset": plan.preset,
        "crf": str(plan.crf),
        "g": gop,
        "keyint_min": gop,
        "sc_threshold": "0",
    }


def _h264_nvenc(plan: Plan, rung: Rung) -> dict[str, str]:
    return _rate_control(rung) | {
        "preset": _NVENC_PRESETS[plan.preset],
        "tune": "hq",
        "rc": "vbr",
        "cq": str(plan.crf),
        "b": "0",
        "g": str(plan.gop_frames),
        "no-scenecut": "1",
        "strict_gop": "1",
    }


ENCODERS: dict[str, Callable[[Plan, Rung], dict[str, str]]] = {
    SOFTWARE: _libx264,
    HARDWARE: _h264_nvenc,
}


def open_encoder(plan: Plan, rung: Rung) -> VideoCodecContext:
    """Frames go in with their number on the grid as pts; packets come out on the same grid."""
    assert plan.video is not None
    context = av.CodecContext.create(plan.video.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = rung.width, rung.height, PIXEL_FORMAT
    context.framerate = plan.video.rate.fraction
    context.time_base = 1 / plan.video.rate.fraction
    colour = plan.video.colour
    context.color_range = 1  # limited
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix
    context.thread_count = 1  # rungs and chunks run in parallel; frame threads would cost bits
    context.flags |= Flags.global_header | Flags.closed_gop
    context.options = ENCODERS[plan.video.encoder](plan, rung)
    context.open()
    return context


def try_encoder(send: Send, name: str) -> None:
    """Encode one picture: an encoder that is compiled in may still find no device."""
    try:
        packets = _one_picture(name)
    except UnknownCodecError:
        send(Opened(works=False, reason=f"this build of FFmpeg has no {name}"))
    except FFmpegError as error:
        send(Opened(works=False, reason=str(error)))
    else:
        send(Opened(works=bool(packets), reason="" if packets else "it gave no picture"))


def _one_picture(name: str) -> list[Packet[Stream]]:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 192, PIXEL_FORMAT
    context.framerate, context.time_base = Fraction(30), Fraction(1, 30)
    frame = VideoFrame(320, 192, PIXEL_FORMAT)
    frame.pts = 0
    context.open()
    return [*context.encode(frame), *context.encode(None)]
