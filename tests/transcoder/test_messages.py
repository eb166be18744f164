from fractions import Fraction

import orjson
import pytest

from media.plan import Colour, Orientation, ToneMap
from media.timeline import FrameRate
from transcoder import messages
from transcoder.messages import (
    PREFIX,
    Broke,
    Finished,
    InitSegment,
    MalformedMessage,
    MediaSegment,
    Message,
    Opened,
    Probed,
    Rejected,
    Starved,
)
from transcoder.source import AudioTrack, ProbeResult, VideoTrack

PROBED = ProbeResult(
    container="mov",
    size_bytes=5,
    origin=Fraction(1, 12_800),
    seekable=True,
    video=VideoTrack(
        stream_index=0,
        codec="h264",
        width=1080,
        height=1920,
        rate=FrameRate(30_000, 1001),
        end=Fraction(1001, 30),
        orientation=Orientation.CLOCKWISE,
        interlaced=False,
        tone_map=ToneMap.HLG,
        colour=Colour(1, 1, 1),
    ),
    audio=AudioTrack(1, "aac", 2, 44_100, Fraction(10)),
)

MESSAGES: list[Message] = [
    Probed(PROBED),
    Opened(works=False, reason="no device"),
    InitSegment("720p", "avc1.64001f", 90_000, b"init"),
    MediaSegment("720p", 3, 90_000, 360_000, 120, True, bytes(range(256))),
    Finished(),
    Rejected("not_media", "a text file", False),
    Starved("the network is down"),
    Broke("Traceback"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_round_trip(message: Message) -> None:
    head, payload = messages.encode(message)
    assert messages.sizes(head[: PREFIX.size]) == (len(head) - PREFIX.size, len(payload))
    assert messages.decode(head[PREFIX.size :], payload) == message


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        (b"", b""),
        (b"{", b""),
        (b"[]", b""),
        (b"{}", b""),
        (b'{"kind": "System", "command": "rm"}', b""),
        (b'{"kind": "Opened", "works": "perhaps", "reason": ""}', b""),
        (b'{"kind": "Rejected", "code": 1}', b""),
        (orjson.dumps({"kind": "InitSegment", "rendition": "a", "codecs": "b"}), b"data"),
    ],
)
def test_nonsense_is_malformed(head: bytes, payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        messages.decode(head, payload)


@pytest.mark.parametrize(
    "sizes", [((32 << 10) + 1, 0), (0, (256 << 20) + 1), (2**32 - 1, 2**32 - 1)]
)
def test_size_is_bounded_before_anything_is_read(sizes: tuple[int, int]) -> None:
    with pytest.raises(MalformedMessage):
        messages.sizes(PREFIX.pack(*sizes))
