"""What a pre-flight looks at in the buckets: rules that this service does not make by itself, or
that somebody has changed since."""

from __future__ import annotations  # names of stubs, which are not installed in production

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from stores.aws import code_of
from stores.objects.s3_client import S3
from stores.trait import Trait

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CORSRuleOutputTypeDef, LifecycleRuleOutputTypeDef

ABANDONED = "a rule with AbortIncompleteMultipartUpload drops what dead clients have left"
UPLOAD_METHODS = ("PUT", "POST")
UPLOAD_HEADERS = ("content-type", "if-none-match", "x-amz-server-side-encryption")
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})  # not to be read at once


async def lifecycle(s3: S3, bucket: str, *, keeps_packages: bool) -> Sequence[Trait]:
    async with s3.calling(bucket, "the look at its lifecycle rules") as client:
        try:
            answer = await client.get_bucket_lifecycle_configuration(Bucket=bucket)
            rules = [rule for rule in answer["Rules"] if rule["Status"] == "Enabled"]
        except ClientError as exc:
            if code_of(exc) != "NoSuchLifecycleConfiguration":
                raise
            rules = []
    return list(_lifecycle(bucket, rules, keeps_packages=keeps_packages))


async def cors(s3: S3, bucket: str, pages: Sequence[str]) -> Sequence[Trait]:
    """`pages`: origins, as browsers name them, of pages that may upload straight to S3."""
    if not pages:
        return ()
    async with s3.calling(bucket, "the look at its CORS rules") as client:
        try:
            rules = (await client.get_bucket_cors(Bucket=bucket))["CORSRules"]
        except ClientError as exc:
            if code_of(exc) != "NoSuchCORSConfiguration":
                raise
            rules = []
    return [_cors(bucket, rules, page) for page in pages]


def _lifecycle(
    bucket: str, rules: Sequence[LifecycleRuleOutputTypeDef], *, keeps_packages: bool
) -> Iterator[Trait]:
    what = f"lifecycle of {bucket}"
    if not any(_drops_abandoned(rule) for rule in rules):
        yield Trait(what, False, "abandoned uploads stay, and are paid for", ABANDONED, False)
    harmful = [why for rule in rules for why in _harm(rule)] if keeps_packages else []
    for why in harmful:
        remedy = "change that rule: titles break when their objects go or cannot be read at once"
        yield Trait(what, False, why, remedy)
    if not harmful and rules:
        yield Trait(what, True, f"{len(rules)} rules")


def _drops_abandoned(rule: LifecycleRuleOutputTypeDef) -> bool:
    return "AbortIncompleteMultipartUpload" in rule


def _harm(rule: LifecycleRuleOutputTypeDef) -> Iterator[str]:
    name = rule.get("ID", "one without a name")
    expiration = rule.get("Expiration", {})
    if "Days" in expiration or "Date" in expiration:
        yield f"rule {name} removes objects"
    for transition in rule.get("Transitions", ()):
        if (storage_class := transition.get("StorageClass", "")) in ARCHIVES:
            yield f"rule {name} moves objects to {storage_class}"


def _cors(bucket: str, rules: Sequence[CORSRuleOutputTypeDef], page: str) -> Trait:
    what = f"CORS of {bucket}"
    lacking = [
        method
        for method in UPLOAD_METHODS
        if not any(_allows(rule, page, method) for rule in rules)
    ]
    if not lacking:
        return Trait(what, True, f"pages of {page} may upload")
    return Trait(
        what,
        False,
        f"pages of {page} may not {' or '.join(lacking)}",
        f"a CORS rule with this origin, PUT and POST, and the headers {', '.join(UPLOAD_HEADERS)}; "
        "uploads through the API need none",
        False,
    )


def _allows(rule: CORSRuleOutputTypeDef, page: str, method: str) -> bool:
    headers = [header.lower() for header in rule.get("AllowedHeaders", ())]
    return (
        method in rule["AllowedMethods"]
        and any(fnmatchcase(page, pattern) for pattern in rule["AllowedOrigins"])
        and all(any(fnmatchcase(name, each) for each in headers) for name in UPLOAD_HEADERS)
    )
