"""Credentials that may do what `deployments/iam` gives a process, and nothing else: SeaweedFS holds
them to the policy's S3 part. (ministack lets everybody do everything.)"""

import json
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import ClientError

from deployments.aws_local.servers import AwsServer
from media.settings import AwsSettings
from tests.service import until

POLICIES = Path(__file__).parents[2] / "deployments" / "iam"


def credentials(role: str, server: AwsServer, aws: AwsSettings) -> dict[str, str]:
    """As environment variables."""
    name = f"{aws.dynamodbtable}-{role}"
    iam = _client("iam", server, server.access_key, server.secret_key)
    iam.create_user(UserName=name)
    policy = iam.create_policy(PolicyName=name, PolicyDocument=_policy(role, aws))["Policy"]
    iam.attach_user_policy(UserName=name, PolicyArn=policy["Arn"])
    key = iam.create_access_key(UserName=name)["AccessKey"]
    s3 = _client("s3", server, key["AccessKeyId"], key["SecretAccessKey"])
    until(lambda: _is_known(s3, aws))
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def _policy(role: str, aws: AwsSettings) -> str:
    assert aws.s3rawbucket is not None and aws.s3processedbucket is not None
    text = (POLICIES / f"{role}.json").read_text()
    text = text.replace("RAW_BUCKET", aws.s3rawbucket)
    policy = json.loads(text.replace("PROCESSED_BUCKET", aws.s3processedbucket))
    statements = [s for s in policy["Statement"] if s["Action"][0].startswith("s3:")]
    return json.dumps(policy | {"Statement": statements})


def _is_known(s3: Any, aws: AwsSettings) -> bool:
    """It takes a moment until a new key may do what it should."""
    try:
        s3.head_bucket(Bucket=aws.s3rawbucket)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "404")
    return True


def _client(service: str, server: AwsServer, access_key: str, secret_key: str) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
