"""The API on S3, DynamoDB and Redis: real servers, and clients that send to S3 by themselves."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deployments.aws_local import estate
from deployments.aws_local.servers import AwsServer, RedisServer
from tests.server.api.service import Server, client_of, description_of
from tests.server.api.test_creation import presign as presign_with_key
from tests.server.api.test_creation import send
from tests.server.api.test_incoming import titles
from tests.server.api.test_presign import confirm, presign, problem_of, put_as_to_s3
from tests.service import run, started, until

MAX_UPLOAD_BYTES = 100_000


@pytest.fixture(scope="module")
def on_aws(
    tmp_path_factory: pytest.TempPathFactory,
    s3_server: AwsServer,
    dynamodb_server: AwsServer,
    redis_server: RedisServer,
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("on-aws")
    name, key = f"t{secrets.token_hex(4)}", estate.new_signing_key()
    variables = estate.environment(name, s3_server, dynamodb_server, redis_server, key)
    variables["STREAM_SERVER_MAXUPLOAD"] = str(MAX_UPLOAD_BYTES)
    made = run(folder, "doctor", "--create", **variables)
    assert made.returncode == 0, made.stdout + made.stderr
    with started(folder, command="api", **variables) as service:
        until(service.is_ready)
        yield Server(httpx.URL(service.url).port or 80, folder, service.process)


@pytest.fixture
def client(on_aws: Server) -> Iterator[httpx.Client]:
    with client_of(on_aws, description_of(on_aws)) as client:
        yield client


def post_as_to_s3(presigned: dict[str, Any], content: bytes) -> httpx.Response:
    assert presigned["method"] == "POST"
    return httpx.post(presigned["url"], data=presigned["fields"], files={"file": content})


def put_of_its_own_length(presigned: dict[str, Any], content: bytes) -> httpx.Response:
    """As browsers do, which let nobody set a Content-Length."""
    headers = {k: v for k, v in presigned["headers"].items() if k != "Content-Length"}
    return put_as_to_s3({**presigned, "headers": headers}, content)


SENDERS = {"PUT": put_of_its_own_length, "POST": post_as_to_s3}


@pytest.mark.parametrize("method", SENDERS)
@pytest.mark.parametrize("size", [None, 5])
def test_file_goes_to_s3_and_becomes_a_title(
    on_aws: Server, client: httpx.Client, method: str, size: int | None
) -> None:
    presigned = presign(client, method=method, size=size, content_type="video/mp4")
    assert httpx.URL(presigned["url"]).port != on_aws.port
    stored = SENDERS[method](presigned, b"bytes")
    assert stored.is_success, stored.text
    media = confirm(client, presigned["id"]).json()
    assert (media["status"], media["source"]["size_bytes"]) == ("queued", 5)


@pytest.mark.parametrize("method", SENDERS)
def test_s3_takes_just_the_announced_size(client: httpx.Client, method: str) -> None:
    presigned = presign(client, method=method, size=5)
    for content in (b"byte", b"bytes!"):
        assert SENDERS[method](presigned, content).status_code in (400, 403)
    assert problem_of(confirm(client, presigned["id"])) == (409, "upload-missing")
    assert SENDERS[method](presigned, b"bytes").is_success
    assert confirm(client, presigned["id"]).status_code == 200


def test_s3_takes_no_form_over_the_limit(client: httpx.Client) -> None:
    presigned = presign(client, method="POST")
    assert post_as_to_s3(presigned, bytes(MAX_UPLOAD_BYTES + 1)).status_code == 400
    assert post_as_to_s3(presigned, bytes(MAX_UPLOAD_BYTES)).is_success
    assert confirm(client, presigned["id"]).status_code == 200


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", (422, "invalid-fields")),
        (bytes(MAX_UPLOAD_BYTES + 1), (413, "too-large")),
    ],
    ids=["empty", "too large"],
)
def test_what_s3_could_not_refuse_is_refused_and_may_be_sent_again(
    client: httpx.Client, content: bytes, problem: tuple[int, str]
) -> None:
    presigned = presign(client)
    assert put_as_to_s3(presigned, content).is_success
    assert problem_of(confirm(client, presigned["id"])) == problem
    assert problem_of(confirm(client, presigned["id"])) == (409, "upload-missing")
    assert put_as_to_s3(presigned, b"bytes").is_success
    assert confirm(client, presigned["id"]).status_code == 200


def test_simultaneous_uploads_with_one_key_make_one_title(client: httpx.Client) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: send(client, key, bytes([n]) * 50_000), range(8)))
    taken = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    refused = {problem_of(answer) for answer in answers if answer.status_code != 201}
    assert refused <= {(409, "upload-under-way")}
    assert {send(client, key).json()["id"]} == taken
    assert titles(client) == ["queued"]


def test_simultaneous_presigning_with_one_key_makes_one_title(client: httpx.Client) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: presign_with_key(client, key), range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {put_as_to_s3(answer.json(), b"bytes").status_code for answer in answers} == {200, 412}
    assert titles(client) == ["uploading"]


def test_failed_upload_frees_its_key(client: httpx.Client) -> None:
    key = str(uuid4())
    assert problem_of(send(client, key, b"")) == (422, "invalid-fields")
    assert send(client, key).status_code == 201
    assert titles(client) == ["queued"]
