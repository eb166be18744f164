"""Deleting many objects at once."""

from __future__ import annotations  # names of stubs, which are not installed in production

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stores.errors import Denied, Throttled, Unavailable
from stores.objects.s3_client import S3

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import ErrorTypeDef

BATCH = 1000  # S3's limit, and its largest page of a list
ATTEMPTS = 4  # of keys that S3 refused for the moment; the whole request has its own
NAMED_ERRORS = 3
_PASSING = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"})


async def delete_keys(s3: S3, bucket: str, keys: Sequence[str]) -> None:
    assert len(keys) <= BATCH
    for attempt in range(1, ATTEMPTS + 1):
        if not keys:
            return
        errors = await _delete(s3, bucket, keys)
        keys = [error["Key"] for error in errors if error["Code"] in _PASSING]
        if len(keys) < len(errors) or (keys and attempt == ATTEMPTS):
            raise _refused(bucket, errors)
        if keys:
            await asyncio.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - jitter


async def _delete(s3: S3, bucket: str, keys: Sequence[str]) -> Sequence[ErrorTypeDef]:
    async with s3.calling(bucket, f"the deletion of {len(keys)} objects") as client:
        answer = await client.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    return answer.get("Errors", ())


def _refused(bucket: str, errors: Sequence[ErrorTypeDef]) -> Unavailable:
    codes = {error["Code"] for error in errors}
    named = ", ".join(f"{error['Key']} ({error['Code']})" for error in errors[:NAMED_ERRORS])
    more = f" and {len(errors) - NAMED_ERRORS} more" if len(errors) > NAMED_ERRORS else ""
    said = f"bucket {bucket}: S3 did not delete {named}{more}"
    if "AccessDenied" in codes:
        return Denied(f"{said}; give these credentials the right s3:DeleteObject")
    return Throttled(said) if codes <= {"SlowDown", "ServiceUnavailable"} else Unavailable(said)
