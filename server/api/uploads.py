import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import PurePosixPath
from typing import TypedDict

import structlog
from starlette.requests import Request
from starlette.responses import Response

from media.asset import UNFINISHED, Asset, AssetType, Status
from media.keys import source_key
from media.settings import Settings
from server.api.bodies import (
    Media,
    Presigned,
    PresignRequest,
    UploadFields,
    answer,
    guess_type,
    media_body,
)
from server.api.form import FORM_SCHEMA, Form
from server.api.incoming import body_chunks, read_json
from server.api.metrics import Metrics
from server.api.multipart import Part, form_boundary, read_form
from server.api.operations import Gives, Operation, Takes, user_id
from server.api.presign import SignedPuts
from server.api.stopping import Stopping
from server.api.titles import base_url, own_title
from server.problems import (
    BodyTimeout,
    InvalidFields,
    Malformed,
    ServerStopping,
    TitleNotFound,
    TooLarge,
    UploadMissing,
    WrongContentType,
)
from stores.errors import Conflict, NotFound, Unavailable
from stores.wiring import Stores

FORM_OVERHEAD_BYTES = 256 * 1024  # what a form may have beside the file itself
ABANDONED_S = 24 * 3600  # after a presigned upload was asked for
LEASE_S = 300  # how long a form upload is taken to be under way without a renewal
RENEW_S = 60
ENQUEUE_TIMEOUT_S = 5  # longer than the job engine takes to come back from a restart

_log = structlog.get_logger("server.uploads")


class Described(TypedDict):
    """The fields of an Asset that its uploader decides."""

    title: str
    description: str
    filename: str
    type: AssetType


class Uploads:
    def __init__(
        self,
        stores: Stores,
        settings: Settings,
        presigner: SignedPuts,
        metrics: Metrics,
        stopping: Stopping,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._presigner = presigner
        self._metrics = metrics
        self._stopping = stopping
        self._max_bytes = int(settings.server.maxupload)
        self._timeout_s = settings.server.readtimeout.total_seconds()
        # Half of the time to answer is left for the answer itself.
        self._json_timeout_s = min(
            self._timeout_s, settings.server.writetimeout.total_seconds() / 2
        )

    def operations(self) -> Sequence[Operation]:
        location = ("Location",)
        sent = (TooLarge, BodyTimeout, WrongContentType, Malformed, InvalidFields, Unavailable)
        return [
            Operation(
                "POST",
                "/api/v1/upload",
                self.upload_media,
                "Upload a title as a form, streamed",
                Gives(201, "The title, queued.", Media, headers=location),
                takes=Takes("multipart/form-data", FORM_SCHEMA),
                problems=(*sent, Conflict, ServerStopping),
                bounded=False,
            ),
            Operation(
                "POST",
                "/api/v1/upload/presign",
                self.presign_upload,
                "Get a URL to PUT a title's file to",
                Gives(201, "The URL.", Presigned, headers=location),
                takes=Takes("application/json", PresignRequest),
                problems=sent,
            ),
            Operation(
                "POST",
                "/api/v1/upload/{id}/confirm",
                self.confirm_upload,
                "Say that the file has been PUT; repeating it changes nothing",
                Gives(200, "The title, queued or further.", Media),
                problems=(TitleNotFound, UploadMissing, TooLarge, InvalidFields, Unavailable),
            ),
        ]

    async def upload_media(self, request: Request) -> Response:
        boundary = form_boundary(request.headers.get("content-type", ""))
        chunks = body_chunks(
            request, max_bytes=self._max_bytes + FORM_OVERHEAD_BYTES, timeout_s=self._timeout_s
        )
        asset = _new_asset(user_id(request), UploadFields(), expires_in_s=LEASE_S)
        async with self._stopping.interruptible(), self._created(asset):
            changes = await self._store_form(asset.id, read_form(chunks, boundary))
            asset = await self._queue(asset.id, changes)
        await self._enqueue(asset)
        return answer(media_body(asset), 201, {"Location": f"/api/v1/media/{asset.id}"})

    async def presign_upload(self, request: Request) -> Response:
        wanted = await read_json(request, PresignRequest, timeout_s=self._json_timeout_s)
        if wanted.size is not None and wanted.size > self._max_bytes:
            raise TooLarge(f"The file may have {self._max_bytes} bytes, size says {wanted.size}.")
        asset = _new_asset(user_id(request), wanted, expires_in_s=ABANDONED_S)
        presigned = await self._presigner.put(
            asset.id,
            base_url=base_url(request, self._settings),
            content_type=wanted.content_type,
            max_bytes=wanted.size or self._max_bytes,
        )
        await self._stores.catalog.create(asset)
        return answer(presigned, 201, {"Location": f"/api/v1/media/{asset.id}"})

    async def confirm_upload(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        if asset.status is Status.UPLOADING:
            asset = await self._confirm(asset.id, request)
        if asset.status in UNFINISHED:
            await self._enqueue(asset)
        return answer(media_body(asset))

    async def _confirm(self, media_id: str, request: Request) -> Asset:
        try:
            source = await self._stores.objects.head(source_key(media_id))
        except NotFound as exc:
            raise UploadMissing("Nothing has been uploaded to this title's URL yet.") from exc
        if source.size == 0:
            raise InvalidFields({"file": "is empty"})
        if source.size > self._max_bytes:
            await self._stores.objects.delete(source.key)
            raise TooLarge(f"The file may have {self._max_bytes} bytes, it has {source.size}.")
        try:
            return await self._queue(
                media_id, {"size_bytes": source.size, "source_etag": source.etag}
            )
        except Conflict:  # another confirmation was first, or a deletion
            return await own_title(self._stores.catalog, request)

    async def _store_form(
        self, media_id: str, events: AsyncIterator[Part | bytes]
    ) -> dict[str, object]:
        """The object appears only when the whole form has been read and holds."""
        form = Form(self._max_bytes)
        async with AsyncExitStack() as stack:
            writer = None
            async for event in events:
                if isinstance(event, Part):
                    form.begin(event)
                    if form.in_file:
                        objects = self._stores.objects
                        writer = await stack.enter_async_context(
                            objects.writer(source_key(media_id))
                        )
                elif form.in_file and writer is not None:
                    form.count(len(event))
                    self._metrics.upload_bytes.inc(len(event))
                    await writer.write(event)
                else:
                    form.append(event)
            fields = form.finish()
        return {**_described(fields), "size_bytes": form.size}

    @asynccontextmanager
    async def _created(self, asset: Asset) -> AsyncIterator[None]:
        """The record exists inside; it and the object are gone if that fails, for a client that
        goes away and a server that stops as for bad input."""
        await self._stores.catalog.create(asset)
        renewing = asyncio.create_task(self._renew(asset.id))
        try:
            yield
        except BaseException:
            await asyncio.shield(self._discard(asset.id))
            raise
        finally:
            renewing.cancel()

    async def _renew(self, media_id: str) -> None:
        """The record of a server that died expires, and the reconciler removes it."""
        with suppress(Conflict, NotFound):  # deleted meanwhile, which the upload finds out itself
            while True:
                await asyncio.sleep(RENEW_S)
                changes = {"upload_expires_at_ms": _now_ms() + LEASE_S * 1000}
                try:
                    await self._stores.catalog.update(media_id, changes)
                except Unavailable as exc:
                    _log.warning("upload not renewed", media=media_id, reason=str(exc))

    async def _discard(self, media_id: str) -> None:
        await self._stores.objects.delete(source_key(media_id))
        await self._stores.catalog.remove(media_id)

    async def _queue(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        try:
            return await self._stores.catalog.transition(media_id, Status.QUEUED, changes)
        except NotFound as exc:
            raise Conflict("The title was deleted while it was being uploaded.") from exc

    async def _enqueue(self, asset: Asset) -> None:
        """What was uploaded is not lost while the job engine is away: the record says `queued`,
        and whoever reconciles the catalog with the jobs enqueues it."""
        try:
            async with asyncio.timeout(ENQUEUE_TIMEOUT_S):
                await self._stores.jobs.enqueue(asset.id, asset.priority)
        except (Unavailable, TimeoutError) as exc:
            _log.error("title is queued in the catalog only", media=asset.id, reason=repr(exc))


def _new_asset(user: str, fields: UploadFields, *, expires_in_s: int) -> Asset:
    now_ms = _now_ms()
    return Asset(
        id=secrets.token_hex(12),
        user_id=user,
        status=Status.UPLOADING,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        upload_expires_at_ms=now_ms + expires_in_s * 1000,
        **_described(fields),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _described(fields: UploadFields) -> Described:
    return Described(
        title=fields.title or PurePosixPath(fields.filename).stem or "Untitled",
        description=fields.description,
        filename=fields.filename,
        type=guess_type(fields.content_type, fields.filename),
    )
