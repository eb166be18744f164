import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from starlette.requests import Request
from starlette.responses import Response

from media.asset import Asset, Status
from media.keys import source_key
from media.settings import ServerSettings
from server.api.bodies import Media, UploadFields, answer, media_body
from server.api.creation import (
    KEY_HEADER,
    create,
    described,
    expiry_ms,
    idempotency_key,
    new_asset,
)
from server.api.form import FORM_SCHEMA, Form
from server.api.incoming import body_chunks
from server.api.metrics import Metrics
from server.api.multipart import Part, form_boundary, read_form
from server.api.operations import Gives, Operation, Takes, user_id
from server.api.stopping import Stopping
from server.api.work import enqueue
from server.problems import (
    BodyTimeout,
    InvalidFields,
    KeyReused,
    Malformed,
    ServerStopping,
    TooLarge,
    UploadUnderWay,
    WrongContentType,
)
from stores.errors import Conflict, NotFound, Unavailable
from stores.wiring import Stores

FORM_OVERHEAD_BYTES = 256 * 1024  # what a form may have beside the file itself
LEASE_S = 300  # how long a form upload is taken to be under way without a renewal
RENEW_S = 60

_log = structlog.get_logger("server.uploads")


class Uploads:
    def __init__(
        self, stores: Stores, settings: ServerSettings, metrics: Metrics, stopping: Stopping
    ) -> None:
        self._stores = stores
        self._metrics = metrics
        self._stopping = stopping
        self._max_bytes = int(settings.maxupload)
        self._timeout_s = settings.readtimeout.total_seconds()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "POST",
                "/api/v1/upload",
                self.upload_media,
                "Upload a title as a form, streamed",
                Gives(201, "The title, queued.", Media, headers=("Location",)),
                takes=Takes("multipart/form-data", FORM_SCHEMA),
                headers=KEY_HEADER,
                problems=(
                    TooLarge,
                    BodyTimeout,
                    WrongContentType,
                    Malformed,
                    InvalidFields,
                    UploadUnderWay,
                    KeyReused,
                    Unavailable,
                    Conflict,
                    ServerStopping,
                ),
                bounded=False,
            ),
        ]

    async def upload_media(self, request: Request) -> Response:
        boundary = form_boundary(request.headers.get("content-type", ""))
        chunks = body_chunks(
            request, max_bytes=self._max_bytes + FORM_OVERHEAD_BYTES, timeout_s=self._timeout_s
        )
        key = idempotency_key(request)
        async with self._stopping.interruptible():
            asset = new_asset(user_id(request), UploadFields(), expires_in_s=LEASE_S)
            asset, is_new = await create(self._stores.catalog, asset, key)
            if is_new:
                async with self._kept(asset, key):
                    changes = await self._store_form(asset.id, read_form(chunks, boundary))
                    asset = await self._queue(asset.id, changes)
            else:
                await self._read_again(asset, request, chunks)
        if is_new:
            await enqueue(self._stores.jobs, asset)
        return answer(media_body(asset), 201, {"Location": f"/api/v1/media/{asset.id}"})

    async def _read_again(
        self, asset: Asset, request: Request, chunks: AsyncIterator[bytes]
    ) -> None:
        """The body of a request that was repeated, to no purpose but that its client, which may
        read nothing before it has sent everything, gets the answer."""
        if asset.presigned:
            raise KeyReused("The Idempotency-Key was used to ask for an upload URL before.")
        if asset.status is Status.UPLOADING:
            raise UploadUnderWay("An upload with this Idempotency-Key has not come to its end yet.")
        if "expect" not in request.headers:  # who expects to be asked is not asked
            async for _ in chunks:
                pass

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
        # What the form does not say may have been set meanwhile.
        given = fields.model_dump(include={"priority"}, exclude_unset=True)
        return {**described(fields), **given, "size_bytes": form.size}

    @asynccontextmanager
    async def _kept(self, asset: Asset, key: str | None) -> AsyncIterator[None]:
        """The record is renewed inside; it and the object are gone if that fails, for a client
        that goes away and a server that stops as for bad input."""
        renewing = asyncio.create_task(self._renew(asset.id))
        try:
            yield
        except BaseException:
            await asyncio.shield(self._discard(asset, key))
            raise
        finally:
            renewing.cancel()

    async def _renew(self, media_id: str) -> None:
        """The record of a server that died expires, and the reconciler removes it."""
        with suppress(Conflict, NotFound):  # deleted meanwhile, which the upload finds out itself
            while True:
                await asyncio.sleep(RENEW_S)
                changes = {"upload_expires_at_ms": expiry_ms(LEASE_S)}
                try:
                    await self._stores.catalog.update(media_id, changes)
                except Unavailable as exc:
                    _log.warning("upload not renewed", media=media_id, reason=str(exc))

    async def _discard(self, asset: Asset, key: str | None) -> None:
        if key is not None:
            await self._stores.catalog.release_key(asset.user_id, key, asset.id)
        await self._stores.objects.delete(source_key(asset.id))
        await self._stores.catalog.remove(asset.id)

    async def _queue(self, media_id: str, changes: dict[str, object]) -> Asset:
        try:
            return await self._stores.catalog.transition(media_id, Status.QUEUED, changes)
        except NotFound as exc:
            raise Conflict("The title was deleted while it was being uploaded.") from exc
