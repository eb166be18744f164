from collections.abc import Sequence

from typing_extensions import Buffer

def video_init(
    *,
    timescale: int,
    width: int,
    height: int,
    avcc: bytes,
    media_time: int,
    colour: tuple[int, int, int, bool],
) -> bytes: ...
def audio_init(*, timescale: int, channels: int, asc: bytes, bit_rate: int) -> bytes: ...
def segment(
    samples: Sequence[tuple[Buffer, int, int, bool]],
    *,
    sequence_number: int,
    base_media_decode_time: int,
    annexb: bool = False,
) -> bytes: ...
