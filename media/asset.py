"""The life cycle of one uploaded title.

    uploading -> queued -> processing -> ready
        |          |           |          |
        |          +-----------+-> failed -> queued   (retried)
        +-----------------+---------+-----+-> deleting   (then the record is gone)

`TRANSITIONS` is the only place that says which step is allowed; a catalog refuses any other.
"""

from dataclasses import dataclass
from enum import StrEnum


class AssetType(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"


class Status(StrEnum):
    UPLOADING = "uploading"
    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"  # never shown: the API answers 404 from here on


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.UPLOADING: frozenset({Status.QUEUED, Status.DELETING}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.FAILED, Status.DELETING}),
    Status.PROCESSING: frozenset({Status.READY, Status.FAILED, Status.DELETING}),
    Status.READY: frozenset({Status.DELETING}),
    Status.FAILED: frozenset({Status.QUEUED, Status.DELETING}),
    Status.DELETING: frozenset(),
}

UNFINISHED = frozenset({Status.QUEUED, Status.PROCESSING})


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a title failed. `code` is stable for programs, `message` is for a person."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the probe found in the uploaded original; `None` where the file has no such track."""

    container: str
    size_bytes: int
    duration_s: float
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int | None = None  # as displayed: rotated, square pixels
    height: int | None = None
    frame_rate: float | None = None
    audio_channels: int | None = None
    audio_sample_rate: int | None = None


@dataclass(frozen=True, slots=True)
class RenditionInfo:
    """One published rendition, as the API shows it. Bit rates are bit/s, 0 until measured."""

    name: str
    type: AssetType
    codecs: str
    width: int | None
    height: int | None
    frame_rate: float | None
    peak_bit_rate: int
    average_bit_rate: int


@dataclass(frozen=True, slots=True)
class Asset:
    id: str
    user_id: str
    title: str
    description: str
    type: AssetType
    status: Status
    created_at_ms: int
    updated_at_ms: int
    priority: Priority = Priority.NORMAL
    filename: str = ""
    size_bytes: int = 0
    playable: bool = False
    progress: float = 0.0
    duration_s: float | None = None
    version: str | None = None  # set together with the plan: names the package's prefix
    source: SourceInfo | None = None
    renditions: tuple[RenditionInfo, ...] = ()
    error: Failure | None = None
    warnings: tuple[str, ...] = ()  # sentences for a person: what the upload has and this lacks
    upload_expires_at_ms: int = 0  # while uploading: after it nobody is taken to be at it
    presigned: bool = False  # its file comes by a signed URL, not in a form
    source_etag: str | None = None  # of the original that was confirmed: another is not encoded
    events: int = 0  # how many the title's event log has: the number of the newest
