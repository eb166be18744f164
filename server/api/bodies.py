"""The JSON that clients send and get. The OpenAPI description is made from these models."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from media.asset import Asset, AssetType, Priority, Status
from media.event import Event, EventKind
from stores.objects.base import Method

REFERENCE = "#/components/schemas/{model}"  # where the description has a model
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
NO_CONTROLS_BUT_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
CONTENT_TYPE = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[\x20-\x7e]*)?$"
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav"}
)

Title = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=NO_CONTROLS)
]
Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=5000, pattern=NO_CONTROLS_BUT_LINES),
]
Filename = Annotated[str, StringConstraints(max_length=255, pattern=NO_CONTROLS)]
ContentType = Annotated[str, StringConstraints(max_length=127, pattern=CONTENT_TYPE)]


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UploadFields(Given):
    """What a client says of a title before its bytes are looked at."""

    title: Title = Field("", description="Empty: the file's name without its suffix.")
    description: Description = ""
    filename: Filename = ""
    content_type: ContentType | None = None
    priority: Priority = Field(Priority.NORMAL, description="Whose work is begun first.")


class PresignRequest(UploadFields):
    filename: Annotated[Filename, Field(min_length=1)]
    size: int | None = Field(None, ge=1, description="Bytes; the file then has to have just these.")
    method: Method = Field(Method.PUT, description="How the file is sent; POST: to S3 only.")


class ConfirmRequest(Given):
    priority: Priority | None = Field(None, description="Null: as it was.")


class RetryRequest(Given):
    priority: Priority | None = Field(None, description="Null: as it was.")


class PriorityRequest(Given):
    priority: Priority


class Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Source(Shown):
    """The uploaded original; null until it has been probed, or where it has no such track."""

    filename: str
    size_bytes: int
    container: str | None = None
    duration_s: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    audio_channels: int | None = None
    audio_sample_rate: int | None = None


class Rendition(Shown):
    name: str
    type: AssetType
    codecs: str
    width: int | None
    height: int | None
    frame_rate: float | None
    peak_bit_rate: int
    average_bit_rate: int


class Error(Shown):
    code: str
    message: str
    retryable: bool


class Media(Shown):
    id: str
    title: str
    description: str
    type: AssetType
    status: Literal["uploading", "queued", "processing", "ready", "failed"]
    priority: Priority
    playable: bool
    progress: float = Field(ge=0, le=1)
    duration_s: float | None
    source: Source
    renditions: list[Rendition]
    error: Error | None
    created_at: datetime
    updated_at: datetime
    warnings: list[str] = Field(description="What the upload has and the title lacks, and why.")


class MediaList(Shown):
    items: list[Media]
    next_cursor: str | None = Field(description="Null on the last page.")


class Presigned(Shown):
    id: str
    url: str = Field(description="Where to PUT the bytes as they are, or to POST a form.")
    method: Method
    headers: dict[str, str] = Field(description="To be sent with the PUT, as they are.")
    fields: dict[str, str] = Field(description="Of the form that is POSTed, before its `file`.")
    expires_at: datetime


class Playback(Shown):
    url: str
    expires_at: datetime
    cmcd_url: str = Field(description="Where the player may POST CMCD version 2 event reports.")
    cookies: dict[str, str] | None = Field(
        description="What the player has to send as cookies with every request below the URL's "
        "title; null: nothing."
    )
    type: Literal["application/vnd.apple.mpegurl"] = "application/vnd.apple.mpegurl"


class TitleEvent(Shown):
    """The title as it was just after the event."""

    number: int = Field(description="1, 2, 3 ... within the title.")
    kind: EventKind
    at: datetime
    status: Status
    playable: bool
    progress: float = Field(ge=0, le=1)
    error: Error | None


class WebhookData(TitleEvent):
    media_id: str
    user_id: str


class WebhookBody(Shown):
    type: str = Field(pattern=r"^media\.[a-z]+$", description="`media.` and the event's kind.")
    timestamp: datetime = Field(description="Of the event.")
    data: WebhookData


class Health(Shown):
    """What answers, as `app` in the configuration has it."""

    status: Literal["ok"] = "ok"
    name: str
    version: str
    environment: str


class Ready(Shown):
    status: Literal["ready"] = "ready"


def media_body(asset: Asset) -> Media:
    assert asset.status is not Status.DELETING, "a title being deleted is not shown"
    probed = {} if asset.source is None else asdict(asset.source)
    return Media(
        id=asset.id,
        title=asset.title,
        description=asset.description,
        type=asset.type,
        status=asset.status.value,
        priority=asset.priority,
        # The first segments of a failed title may be out; it has no playback URL all the same.
        playable=asset.playable and asset.error is None,
        progress=asset.progress,
        duration_s=asset.duration_s,
        source=Source.model_validate(
            {"size_bytes": asset.size_bytes, **probed, "filename": asset.filename}
        ),
        renditions=[Rendition.model_validate(rendition) for rendition in asset.renditions],
        error=None if asset.error is None else Error.model_validate(asset.error),
        created_at=_time(asset.created_at_ms),
        updated_at=_time(asset.updated_at_ms),
        warnings=list(asset.warnings),
    )


def event_body(event: Event) -> TitleEvent:
    return TitleEvent.model_validate(_event_fields(event))


def webhook_body(event: Event) -> WebhookBody:
    named = {"media_id": event.media_id, "user_id": event.user_id}
    data = WebhookData.model_validate(_event_fields(event) | named)
    return WebhookBody(type=f"media.{event.kind}", timestamp=data.at, data=data)


def _event_fields(event: Event) -> dict[str, object]:
    fields = {name: getattr(event, name) for name in TitleEvent.model_fields if name != "at"}
    return fields | {"at": _time(event.at_ms), "playable": event.playable and event.error is None}


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def guess_type(content_type: str | None, filename: str) -> AssetType:
    """What is shown until the probe knows better."""
    declared = (content_type or "").partition("/")[0].lower()
    if declared in ("audio", "video"):
        return AssetType(declared)
    audio = PurePath(filename).suffix.lower() in AUDIO_SUFFIXES
    return AssetType.AUDIO if audio else AssetType.VIDEO


def answer(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        body.model_dump_json(),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )
