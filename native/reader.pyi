from typing import NamedTuple

from typing_extensions import Buffer

class InitInfo(NamedTuple):
    handler: str  # vide | soun
    track_id: int
    timescale: int
    media_time: int  # ticks; 0 without an edit list
    codecs: str  # RFC 6381
    nal_length_size: int = 0  # 0 for audio
    width: int | None = None
    height: int | None = None
    colour: tuple[int, int, int, bool] | None = None  # primaries, transfer, matrix, full range
    channels: int | None = None
    sample_rate: int | None = None

class SegmentInfo(NamedTuple):
    track_id: int
    sequence_number: int
    decode_time: int  # ticks, as the other times
    duration: int  # sum of the samples'
    presentation_start: int  # least decode time + composition offset
    sample_count: int
    min_composition_offset: int
    max_composition_offset: int
    sync_samples: tuple[int, ...]  # positions, by the samples' flags
    idr_samples: tuple[int, ...]  # positions, by the coded data
    first_nal_types: tuple[int, ...]  # of the first sample; empty for audio
    @property
    def starts_with_idr(self) -> bool: ...  # for audio: with a sync sample

def read_init(data: Buffer) -> InitInfo: ...
def read_segment(data: Buffer, *, nal_length_size: int) -> SegmentInfo: ...
