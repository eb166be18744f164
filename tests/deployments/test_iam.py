"""The policies allow what the stores ask of AWS, and no action that nothing asks for."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "deployments" / "iam"
ROLES = ("api", "origin", "worker", "create")

# What each call of a client needs, from Amazon's Service Authorization Reference.
ACTIONS = {
    "head_bucket": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
    "head_object": {"s3:GetObject"},
    "get_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject"},
    "generate_presigned_url": {"s3:GetObject", "s3:PutObject"},
    "generate_presigned_post": {"s3:PutObject"},
    "create_bucket": {"s3:CreateBucket"},
    "delete_bucket": {"s3:DeleteBucket"},
    "put_public_access_block": {"s3:PutBucketPublicAccessBlock"},
    "put_bucket_encryption": {"s3:PutEncryptionConfiguration"},
    "put_bucket_lifecycle_configuration": {"s3:PutLifecycleConfiguration"},
    "get_bucket_lifecycle_configuration": {"s3:GetLifecycleConfiguration"},
    "get_bucket_cors": {"s3:GetBucketCORS"},
    "get_item": {"dynamodb:GetItem"},
    "batch_get_item": {"dynamodb:BatchGetItem"},
    "query": {"dynamodb:Query"},
    "batch_write_item": {"dynamodb:BatchWriteItem"},
    "transact_write_items": {
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    },
    "describe_table": {"dynamodb:DescribeTable"},
    "create_table": {"dynamodb:CreateTable"},
    "describe_time_to_live": {"dynamodb:DescribeTimeToLive"},
    "update_time_to_live": {"dynamodb:UpdateTimeToLive"},
    "describe_continuous_backups": {"dynamodb:DescribeContinuousBackups"},
    "update_continuous_backups": {"dynamodb:UpdateContinuousBackups"},
}


def calls() -> set[str]:
    """Of every client of AWS in the stores."""
    modules = [*ROOT.glob("stores/objects/s3*.py"), *ROOT.glob("stores/catalog/dynamodb*.py")]
    return {
        node.func.attr
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "client"
    }


def allowed(role: str) -> set[str]:
    policy = json.loads((POLICIES / f"{role}.json").read_bytes())
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def test_every_call_is_allowed_to_somebody_and_nothing_else() -> None:
    assert calls() == set(ACTIONS)
    needed = set().union(*ACTIONS.values())
    assert set().union(*map(allowed, ROLES)) == needed


@pytest.mark.parametrize("role", ROLES)
def test_policy_names_its_resources(role: str) -> None:
    policy = json.loads((POLICIES / f"{role}.json").read_bytes())
    places = ("arn:aws:s3:::RAW_BUCKET", "arn:aws:s3:::PROCESSED_BUCKET")
    table = "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE"
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(resource.startswith((*places, table)) for resource in statement["Resource"])
        assert not any("*" in action for action in statement["Action"])
