"""Uploads by clients straight to S3. What a client may send is signed, so S3 holds it to that."""

from __future__ import annotations  # names of stubs, which are not installed in production

from typing import TYPE_CHECKING

from stores.objects.base import Method, UploadRules, UploadTarget
from stores.objects.s3_client import Attributes, Place

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_HEADERS = {
    "ContentType": "Content-Type",
    "ContentLength": "Content-Length",
    "IfNoneMatch": "If-None-Match",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "StorageClass": "x-amz-storage-class",
}


async def upload_target(
    client: S3Client, place: Place, rules: UploadRules, attributes: Attributes
) -> UploadTarget:
    if rules.content_type is not None:
        attributes = {**attributes, "ContentType": rules.content_type}
    if rules.method is Method.PUT:
        return await _put_target(client, place, rules, attributes)
    return await _post_target(client, place, rules, attributes)


async def _put_target(
    client: S3Client, place: Place, rules: UploadRules, attributes: Attributes
) -> UploadTarget:
    """It stores the object once. A PUT without an exact size is as large as its sender likes, up
    to S3's 5 GiB."""
    said: Attributes = {**attributes, "IfNoneMatch": "*"}
    if rules.size is not None:
        said["ContentLength"] = rules.size
    url = await client.generate_presigned_url(
        "put_object",
        Params={"Bucket": place.bucket, "Key": place.key, **said},
        ExpiresIn=rules.lifetime_s,
    )
    return UploadTarget(url, headers=_headers(said), fields={})


async def _post_target(
    client: S3Client, place: Place, rules: UploadRules, attributes: Attributes
) -> UploadTarget:
    fields = _headers(attributes)
    least, most = (1, rules.max_bytes) if rules.size is None else (rules.size, rules.size)
    conditions: list[object] = [
        ["content-length-range", least, most],
        *({name: value} for name, value in fields.items()),
    ]
    if rules.content_type is None:
        conditions.append(["starts-with", "$Content-Type", ""])
    post = await client.generate_presigned_post(
        place.bucket,
        place.key,
        Fields=fields,
        Conditions=conditions,
        ExpiresIn=rules.lifetime_s,
    )
    return UploadTarget(post["url"], headers={}, fields=post["fields"])


def _headers(said: Attributes) -> dict[str, str]:
    return {
        _HEADERS[name]: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in said.items()
    }
