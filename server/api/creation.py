"""Making a title's record, once per Idempotency-Key, however often its request is sent.

A key stands for an id from its first request on, and a record is created under an id once, ever.
So of all requests with a key one makes the title, whichever dies on the way, and the others find

    no record, or it is being deleted   the key is free again
    uploading, expired                  its server died: the same, and the record goes
    uploading                           the upload is under way
    else                                the title that the key has made

The header is that of draft-ietf-httpapi-idempotency-key-header; RFC 8941 wants its value in
quotation marks, many clients send it without.
"""

import re
import secrets
import time
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TypedDict

from starlette.requests import Request

from media.asset import Asset, AssetType, Status
from server.api.bodies import UploadFields, guess_type
from server.problems import Malformed
from stores.catalog.base import KEY_KEPT_S, Catalog
from stores.errors import Conflict, NotFound

MAX_KEY = 255  # characters
KEY_HEADER: dict[str, dict[str, object]] = {
    "Idempotency-Key": {
        "type": "string",
        "maxLength": MAX_KEY + 2,
        "description": "Printable ASCII of your choice, bare or in quotes, such as a UUID. "
        f"A request that is repeated with it within {KEY_KEPT_S // 3600} hours makes no second "
        "title: it is answered with the first one's, as it is by then. Should the first request "
        "have been refused, or its title have been deleted since, the upload begins anew.",
    }
}
_BARE = re.compile(r"[!#-+\--:<-\[\]-~]+")  # printable, but for space " , ; and \
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"')


class Described(TypedDict):
    """The fields of an Asset that its uploader decides."""

    title: str
    description: str
    filename: str
    type: AssetType


def idempotency_key(request: Request) -> str | None:
    """Raises Malformed."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    quoted = _QUOTED.fullmatch(given[0])
    key = given[0] if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])
    valid = quoted is not None or _BARE.fullmatch(key) is not None
    if len(given) > 1 or not valid or len(key) > MAX_KEY:
        raise Malformed(
            f"Idempotency-Key takes one key of 1 to {MAX_KEY} printable ASCII characters; those "
            'with a space or one of " , ; \\ in quotation marks.'
        )
    return key


def described(fields: UploadFields) -> Described:
    return Described(
        title=fields.title or PurePosixPath(fields.filename).stem or "Untitled",
        description=fields.description,
        filename=fields.filename,
        type=guess_type(fields.content_type, fields.filename),
    )


def new_asset(user: str, fields: UploadFields, *, expires_in_s: int) -> Asset:
    now_ms = expiry_ms(0)
    return Asset(
        id=secrets.token_hex(12),
        user_id=user,
        status=Status.UPLOADING,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        priority=fields.priority,
        upload_expires_at_ms=expiry_ms(expires_in_s),
        **described(fields),
    )


def expiry_ms(expires_in_s: int) -> int:
    return time.time_ns() // 1_000_000 + expires_in_s * 1000


async def create(catalog: Catalog, asset: Asset, key: str | None) -> tuple[Asset, bool]:
    """The record, created, or the title that the key has made before; and which of the two."""
    if key is None:
        await catalog.create(asset)
        return asset, True
    while True:  # each turn is another request's success
        own = replace(asset, id=await catalog.claim_key(asset.user_id, key, asset.id))
        try:
            await catalog.create(own)
        except Conflict:
            earlier = await _living(catalog, own.id)
            if earlier is not None:
                return earlier, False
            await catalog.release_key(asset.user_id, key, own.id)
        else:
            return own, True


async def _living(catalog: Catalog, media_id: str) -> Asset | None:
    """None once it is, or is being, deleted; with which one whose upload has expired begins."""
    try:
        asset = await catalog.get(media_id)
        if asset.status is Status.UPLOADING and asset.upload_expires_at_ms < expiry_ms(0):
            asset = await catalog.transition(media_id, Status.DELETING, seen=asset)
    except NotFound:
        return None
    except Conflict:  # its upload has been renewed, or has come to an end, just now
        return await _living(catalog, media_id)
    return None if asset.status is Status.DELETING else asset
