"""Upload URLs that this server signs and takes itself, as S3 does with a presigned PUT.

The signature covers the method, the path, the expiry and the greatest size, so that none of
them can be changed by who holds the URL. A store with a door of its own signs its own.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from media.asset import Status
from media.keys import source_key
from server.api.incoming import body_chunks
from server.api.operations import Gives, Operation, Takes
from server.api.stopping import Stopping
from server.problems import (
    BodyTimeout,
    InvalidFields,
    ServerStopping,
    SignatureRefused,
    TitleNotFound,
    TooLarge,
    UploadClosed,
)
from stores.errors import NotFound, Unavailable
from stores.objects.base import Method, UploadRules, UploadTarget
from stores.wiring import Stores

LIFETIME_S = 3600
_SIGNED: dict[str, dict[str, object]] = {
    "expires": {"type": "integer"},
    "max": {"type": "integer"},
    "signature": {"type": "string"},
}
_LABEL = b"headrace upload URL, version 1"  # keeps these keys apart from the playback tokens'


def upload_path(media_id: str) -> str:
    return f"/api/v1/upload/{media_id}"


class SignedPuts:
    """The first of `secrets` signs, all verify."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(secret, _LABEL, hashlib.sha256) for secret in secrets]

    def target(self, media_id: str, rules: UploadRules, *, base_url: str) -> UploadTarget:
        if rules.method is not Method.PUT:
            told = "only PUT: files come to this server itself, not to a store that takes forms"
            raise InvalidFields({"method": told})
        path, expires = upload_path(media_id), str(int(time.time()) + rules.lifetime_s)
        max_bytes = str(rules.size or rules.max_bytes)
        signature = _sign(self._keys[0], path, expires, max_bytes)
        url = f"{base_url}{path}?expires={expires}&max={max_bytes}&signature={signature}"
        typed = {} if rules.content_type is None else {"Content-Type": rules.content_type}
        return UploadTarget(url, headers=typed, fields={})

    def max_bytes(self, media_id: str, query: Mapping[str, str]) -> int:
        """What a presented URL allows. Raises SignatureRefused."""
        expires, max_bytes = query.get("expires", ""), query.get("max", "")
        given = query.get("signature", "").encode()
        if not any(
            hmac.compare_digest(
                _sign(key, upload_path(media_id), expires, max_bytes).encode(), given
            )
            for key in self._keys
        ):
            raise SignatureRefused("The URL is not signed by this server, or has been changed.")
        if int(expires) < time.time():
            raise SignatureRefused("The URL has expired; ask for a new one.")
        return int(max_bytes)


def _sign(key: bytes, path: str, expires: str, max_bytes: str) -> str:
    message = f"PUT\n{path}\n{expires}\n{max_bytes}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, message, "sha256")).rstrip(b"=").decode()


class PutDoor:
    """Takes the PUT of a signed URL and answers as S3 does: any bytes, an ETag, no JSON."""

    def __init__(
        self, stores: Stores, signer: SignedPuts, timeout: timedelta, stopping: Stopping
    ) -> None:
        self._stores = stores
        self._signer = signer
        self._stopping = stopping
        self._timeout_s = timeout.total_seconds()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "PUT",
                "/api/v1/upload/{id}",
                self.put_source,
                "Send a file to its presigned URL, as to S3",
                Gives(200, "The file is stored.", media_type=None, headers=("ETag",)),
                takes=Takes("application/octet-stream", {}),
                query=_SIGNED,
                query_required=True,
                problems=(
                    SignatureRefused,
                    TitleNotFound,
                    UploadClosed,
                    TooLarge,
                    BodyTimeout,
                    ServerStopping,
                    Unavailable,
                ),
                for_user=False,
                bounded=False,
            )
        ]

    async def put_source(self, request: Request) -> Response:
        media_id = request.path_params["id"]
        max_bytes = self._signer.max_bytes(media_id, request.query_params)
        await self._check_open(media_id)
        chunks = body_chunks(request, max_bytes=max_bytes, timeout_s=self._timeout_s)
        async with (
            self._stopping.interruptible(),
            self._stores.objects.writer(source_key(media_id)) as writer,
        ):
            async for chunk in chunks:
                await writer.write(chunk)
            await writer.flush()
            # A confirmed source is not replaced. This is as late as can be asked: a confirmation
            # in the moment from here to the rename still gets this PUT's bytes.
            await self._check_open(media_id)
        await self._check_kept(media_id)
        try:
            source = await self._stores.objects.head(source_key(media_id))
        except NotFound as exc:  # deleted just now
            raise TitleNotFound() from exc
        return Response(headers={"ETag": f'"{source.etag}"'})

    async def _check_open(self, media_id: str) -> None:
        try:
            asset = await self._stores.catalog.get(media_id)
        except NotFound as exc:
            raise TitleNotFound() from exc
        if asset.status is Status.DELETING:
            raise TitleNotFound()
        if asset.status is not Status.UPLOADING:
            raise UploadClosed("The upload has been confirmed; its source is not replaced.")

    async def _check_kept(self, media_id: str) -> None:
        """A deletion that ran beside the last bytes may not have seen the object."""
        try:
            asset = await self._stores.catalog.get(media_id)
            deleted = asset.status is Status.DELETING
        except NotFound:
            deleted = True
        if deleted:
            await self._stores.objects.delete(source_key(media_id))
            raise TitleNotFound()
