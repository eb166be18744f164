"""Uploads that go to a signed URL: of the object store if it has a door of its own, such as S3,
else of this server."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from media.asset import UNFINISHED, Asset, Status
from media.keys import source_key
from media.settings import Settings
from server.api.bodies import (
    ConfirmRequest,
    Media,
    Presigned,
    PresignRequest,
    answer,
    media_body,
)
from server.api.creation import (
    KEY_HEADER,
    create,
    idempotency_key,
    new_asset,
)
from server.api.incoming import json_timeout_s, read_json, read_optional_json
from server.api.operations import Gives, Operation, Takes, user_id
from server.api.presign import LIFETIME_S, SignedPuts
from server.api.titles import base_url, own_title
from server.api.work import enqueue
from server.problems import (
    BodyTimeout,
    InvalidFields,
    KeyReused,
    Malformed,
    Problem,
    TitleNotFound,
    TooLarge,
    UploadClosed,
    UploadMissing,
    WrongContentType,
)
from stores.errors import Conflict, NotFound, Unavailable
from stores.objects.base import ObjectInfo, UploadRules
from stores.wiring import Stores

ABANDONED_S = 24 * 3600  # after a URL was asked for
_SAME = ("presigned", "title", "description", "filename", "type", "size_bytes")  # with one key


class DirectUploads:
    def __init__(self, stores: Stores, settings: Settings, signer: SignedPuts) -> None:
        self._stores = stores
        self._settings = settings
        self._signer = signer
        self._max_bytes = int(settings.server.maxupload)
        self._json_timeout_s = json_timeout_s(settings.server)

    def operations(self) -> Sequence[Operation]:
        sent = (TooLarge, BodyTimeout, WrongContentType, Malformed, InvalidFields, Unavailable)
        return [
            Operation(
                "POST",
                "/api/v1/upload/presign",
                self.presign_upload,
                "Get a URL to send a title's file to",
                Gives(201, "The URL.", Presigned, headers=("Location",)),
                takes=Takes("application/json", PresignRequest),
                headers=KEY_HEADER,
                problems=(*sent, KeyReused, UploadClosed, Conflict),
            ),
            Operation(
                "POST",
                "/api/v1/upload/{id}/confirm",
                self.confirm_upload,
                "Say that the file has been sent; repeating it changes nothing",
                Gives(200, "The title, queued or further.", Media),
                takes=Takes("application/json", ConfirmRequest, required=False),
                problems=(*sent, TitleNotFound, UploadMissing),
            ),
        ]

    async def presign_upload(self, request: Request) -> Response:
        key = idempotency_key(request)
        wanted = await read_json(request, PresignRequest, timeout_s=self._json_timeout_s)
        if wanted.size is not None and wanted.size > self._max_bytes:
            raise TooLarge(f"The file may have {self._max_bytes} bytes, size says {wanted.size}.")
        own = replace(
            new_asset(user_id(request), wanted, expires_in_s=ABANDONED_S),
            presigned=True,
            size_bytes=wanted.size or 0,
        )
        # First of all, for what is wrong with the request must leave neither record nor key.
        presigned = await self._presign(own.id, wanted, request)
        asset, is_new = await create(self._stores.catalog, own, key)
        if not is_new:
            await self._reopen(asset, own)
        if asset.id != own.id:
            presigned = await self._presign(asset.id, wanted, request)
        return answer(presigned, 201, {"Location": f"/api/v1/media/{asset.id}"})

    async def _reopen(self, asset: Asset, wanted: Asset) -> None:
        """For another URL of a title, which it gets as long as the first."""
        if asset.presigned and asset.status is not Status.UPLOADING:
            raise UploadClosed("The file has been sent and confirmed; it is not replaced.")
        if any(getattr(asset, name) != getattr(wanted, name) for name in _SAME):
            raise KeyReused("The Idempotency-Key was used for another upload before.")
        changes = {"upload_expires_at_ms": wanted.upload_expires_at_ms}
        try:
            await self._stores.catalog.update(asset.id, changes)
        except NotFound as exc:
            raise Conflict("The title was deleted just now.") from exc

    async def _presign(self, media_id: str, wanted: PresignRequest, request: Request) -> Presigned:
        rules = UploadRules(
            method=wanted.method,
            max_bytes=self._max_bytes,
            size=wanted.size,
            content_type=wanted.content_type,
            lifetime_s=LIFETIME_S,
        )
        expires_s = int(time.time()) + LIFETIME_S
        target = await self._stores.objects.upload_target(source_key(media_id), rules)
        if target is None:
            base = base_url(request, self._settings)
            target = self._signer.target(media_id, rules, base_url=base)
        return Presigned(
            id=media_id,
            url=target.url,
            method=wanted.method,
            headers=target.headers,
            fields=target.fields,
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )

    async def confirm_upload(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        wanted = await read_optional_json(request, ConfirmRequest, timeout_s=self._json_timeout_s)
        if asset.status is Status.UPLOADING:
            asset = await self._confirm(asset, wanted, request)
        if asset.status in UNFINISHED:
            await enqueue(self._stores.jobs, asset)
        return answer(media_body(asset))

    async def _confirm(self, asset: Asset, wanted: ConfirmRequest, request: Request) -> Asset:
        source = await self._source(asset)
        changes: dict[str, object] = {"size_bytes": source.size, "source_etag": source.etag}
        if wanted.priority is not None:
            changes["priority"] = wanted.priority
        try:
            return await self._stores.catalog.transition(asset.id, Status.QUEUED, changes)
        except (Conflict, NotFound):  # another confirmation was first, or a deletion
            return await own_title(self._stores.catalog, request)

    async def _source(self, asset: Asset) -> ObjectInfo:
        """Raises a problem unless it is what was announced. What is not goes, because a store may
        take a file at its URL once."""
        try:
            source = await self._stores.objects.head(source_key(asset.id))
        except NotFound as exc:
            raise UploadMissing("Nothing has been uploaded to this title's URL yet.") from exc
        problem = self._problem(asset, source.size)
        if problem is not None:
            await self._stores.objects.delete(source.key)
            raise problem
        return source

    def _problem(self, asset: Asset, size: int) -> Problem | None:
        if size == 0:
            return InvalidFields({"file": "is empty; send it again"})
        if size > self._max_bytes:
            return TooLarge(f"The file may have {self._max_bytes} bytes, it has {size}.")
        if asset.size_bytes not in (0, size):
            told = f"has {size} bytes, {asset.size_bytes} were announced; send it again"
            return InvalidFields({"file": told})
        return None
