"""An AWS estate on this machine: the servers, and the environment that makes the service use it."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.aws_local.servers import AwsServer, RedisServer, ministack, redis, seaweed

KEY_FILE = "signing-key"
KEY_BYTES = 32


@contextmanager
def running_estate(directory: Path, *, first_port: int) -> Iterator[dict[str, str]]:
    """The environment of a service that uses what is kept in the directory. S3 has five ports
    from `first_port` on, DynamoDB the next and Redis the one after."""
    with (
        seaweed(directory / "s3", port=first_port) as s3,
        ministack(directory / "dynamodb", port=first_port + 5) as dynamodb,
        redis(directory / "redis", port=first_port + 6) as jobs,
    ):
        key = _signing_key(directory / KEY_FILE)
        yield environment("headrace", s3, dynamodb, jobs, key)


def environment(
    name: str, s3: AwsServer, dynamodb: AwsServer, jobs: RedisServer, signing_key: str
) -> dict[str, str]:
    """One installation; others with other names may share the servers."""
    return s3.environment() | {
        "STREAM_AWS_REGION": s3.region,
        "STREAM_AWS_S3ENDPOINT": s3.endpoint,
        "STREAM_AWS_S3RAWBUCKET": f"{name}-raw",
        "STREAM_AWS_S3PROCESSEDBUCKET": f"{name}-processed",
        "STREAM_AWS_DYNAMODBENDPOINT": dynamodb.endpoint,
        "STREAM_AWS_DYNAMODBTABLE": name,
        "STREAM_REDIS_URL": jobs.url,
        "STREAM_REDIS_PREFIX": name,
        "STREAM_SIGNING_KEYS": json.dumps({"local": signing_key}),
    }


def new_signing_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _signing_key(path: Path) -> str:
    """The same at every start: playback URLs outlive the service."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_signing_key())
    return path.read_text()
