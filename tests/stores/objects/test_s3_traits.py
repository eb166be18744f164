from typing import Any

import pytest

from media.settings import AwsSettings
from stores.objects.s3 import S3Objects
from stores.trait import Trait
from tests.stores.objects.buckets import PROCESSED, RAW, raw_client, run_s3

PAGE = "https://studio.example"
ABANDONED = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
UPLOADS = {
    "AllowedOrigins": ["https://*.example"],
    "AllowedMethods": ["PUT", "POST"],
    "AllowedHeaders": ["*"],
}


def looked_at(
    aws: AwsSettings,
    bucket: str,
    *,
    lifecycle: list[dict[str, Any]] | None = None,
    cors: list[dict[str, Any]] | None = None,
) -> list[Trait]:
    """What is found with these rules, which do not stay."""
    found: list[Trait] = []

    async def body(store: S3Objects) -> None:
        async with raw_client(aws) as client:
            configured: Any = client
            before = (await client.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
            if lifecycle is None:
                await client.delete_bucket_lifecycle(Bucket=bucket)
            else:
                rules = [
                    {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **rule}
                    for rule in lifecycle
                ]
                await configured.put_bucket_lifecycle_configuration(
                    Bucket=bucket, LifecycleConfiguration={"Rules": rules}
                )
            if cors is not None:
                await configured.put_bucket_cors(
                    Bucket=bucket, CORSConfiguration={"CORSRules": cors}
                )
            found.extend(await store.traits([PAGE]))
            await configured.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": before}
            )
            await client.delete_bucket_cors(Bucket=bucket)

    run_s3(aws, body)
    return [trait for trait in found if bucket in trait.what]


@pytest.mark.parametrize("bucket", [RAW, PROCESSED])
def test_bucket_as_it_is_made_is_well(aws: AwsSettings, bucket: str) -> None:
    found = looked_at(aws, bucket, lifecycle=[ABANDONED])[0]
    assert (found.what, found.ok) == (f"lifecycle of {bucket}", True)


def test_bucket_that_keeps_abandoned_uploads_is_told(aws: AwsSettings) -> None:
    (found, *_) = looked_at(aws, RAW)
    assert (found.ok, found.needed) == (False, False)
    assert "abandoned uploads stay" in found.found


def test_rule_that_takes_packages_away_is_told(aws: AwsSettings) -> None:
    rules = [ABANDONED | {"Expiration": {"Days": 30}}]
    (found,) = looked_at(aws, PROCESSED, lifecycle=rules)
    assert (found.ok, found.needed, found.found) == (False, True, "rule r removes objects")
    assert looked_at(aws, RAW, lifecycle=rules)[0].ok, "a title that is ready needs no original"


@pytest.mark.parametrize(
    ("cors", "lacking"),
    [
        (None, "PUT or POST"),
        ([UPLOADS], None),
        ([UPLOADS | {"AllowedMethods": ["PUT"]}], "POST"),
        ([UPLOADS | {"AllowedOrigins": ["https://other.test"]}], "PUT or POST"),
        ([UPLOADS | {"AllowedHeaders": ["content-type"]}], "PUT or POST"),
    ],
)
def test_pages_that_may_not_upload_are_told(
    aws: AwsSettings, cors: list[dict[str, Any]] | None, lacking: str | None
) -> None:
    found = looked_at(aws, RAW, lifecycle=[ABANDONED], cors=cors)[-1]
    assert found.what == f"CORS of {RAW}"
    assert found.ok is (lacking is None)
    assert lacking is None or f"may not {lacking}" in found.found
