"""Buckets of a new installation."""

from __future__ import annotations  # names of stubs, which are not installed in production

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from media.settings import AwsSettings
from stores.aws import code_of
from stores.errors import Unavailable
from stores.objects.s3_client import S3

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import (
        LifecycleRuleTypeDef,
        ServerSideEncryptionByDefaultTypeDef,
        ServerSideEncryptionRuleTypeDef,
    )

REGION_WITHOUT_NAME = "us-east-1"  # must not be said when a bucket is made there
ABANDONED_DAYS = 7
_ABANDONED_UPLOADS: LifecycleRuleTypeDef = {
    "ID": "abandoned-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_DAYS},
}
_UNKNOWN_CALL = frozenset({"NotImplemented", "MethodNotAllowed"})  # of another S3 than Amazon's


async def check_bucket(s3: S3, bucket: str) -> None:
    async with s3.calling(bucket, "the check of the store") as client:
        await client.head_bucket(Bucket=bucket)


async def make_bucket(s3: S3, bucket: str, aws: AwsSettings) -> bool:
    """False if it was there, whatever its settings."""
    async with s3.calling(bucket, "the creation") as client:
        if await _exists(client, bucket) or not await _made(client, bucket, aws.region):
            return False
        try:
            await _configure(client, bucket, aws)
        except BaseException:  # else the next attempt would take it for one that is in use
            with suppress(ClientError):
                await client.delete_bucket(Bucket=bucket)
            raise
    return True


async def _exists(client: S3Client, bucket: str) -> bool:
    try:
        await client.head_bucket(Bucket=bucket)
    except ClientError as exc:
        if code_of(exc) in ("404", "NoSuchBucket"):
            return False
        raise
    return True


async def _made(client: S3Client, bucket: str, region: str) -> bool:
    where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        await client.create_bucket(
            Bucket=bucket, **({} if region == REGION_WITHOUT_NAME else where)
        )
    except client.exceptions.BucketAlreadyOwnedByYou:  # made by somebody else meanwhile
        return False
    except client.exceptions.BucketAlreadyExists as exc:
        raise Unavailable(
            f"the name of bucket {bucket} is taken by another account; choose another one in "
            "aws.s3rawbucket or aws.s3processedbucket"
        ) from exc
    return True


async def _configure(client: S3Client, bucket: str, aws: AwsSettings) -> None:
    try:
        await client.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
    except ClientError as exc:
        if code_of(exc) not in _UNKNOWN_CALL:
            raise
    if aws.s3encryption != "none":
        await client.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [_encryption(aws)]}
        )
    await client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [_ABANDONED_UPLOADS]}
    )


def _encryption(aws: AwsSettings) -> ServerSideEncryptionRuleTypeDef:
    assert aws.s3encryption != "none"
    default: ServerSideEncryptionByDefaultTypeDef = {"SSEAlgorithm": aws.s3encryption}
    if aws.s3kmskey is not None:
        default["KMSMasterKeyID"] = aws.s3kmskey
    return {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": aws.s3encryption == "aws:kms",
    }
