"""What S3 answers, and what happens on the way to it, as errors of a store. Messages name the
object, the bucket and what to do, and nothing that would open either."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError

from stores.aws import MENDED_BY_CREDENTIALS, code_of, reaching, shortened
from stores.errors import Conflict, Denied, NotFound, StoreError, Throttled, TimedOut, Unavailable

# The stages of a request that end in a broken body; its head was answered, so that nobody else
# has tried again.
BROKEN_BODY = (BotoCoreError, HttpError)

_MENDED_BY_BUCKET = (
    "`headrace doctor --create` makes the buckets that aws.s3rawbucket and "
    "aws.s3processedbucket name"
)
_DENIED = {
    "InvalidAccessKeyId": MENDED_BY_CREDENTIALS,
    "SignatureDoesNotMatch": MENDED_BY_CREDENTIALS,
    "InvalidToken": MENDED_BY_CREDENTIALS,
    "ExpiredToken": MENDED_BY_CREDENTIALS,
    "TokenRefreshRequired": MENDED_BY_CREDENTIALS,
    "RequestTimeTooSkewed": "set the clock of this machine",
}
_MENDED_BY_RIGHTS = "give its credentials the rights that README.md lists"
_THROTTLED = frozenset(
    {
        *("SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException"),
        *("RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded"),
    }
)
_NO_OBJECT = frozenset({"NoSuchKey", "NotFound", "404"})  # an answer to HEAD has no body
_CONFLICT = frozenset({"PreconditionFailed", "412"})
_UNDECIDED = "ConditionalRequestConflict"


class Undecided(Unavailable):
    """A conditional write met another request for its object: whether the condition holds is to
    be asked again, for the other may come to nothing, or be a deletion."""


@contextmanager
def translated(bucket: str, what: str) -> Iterator[None]:
    """`what` is told a person: `object v/m/index.m3u8`."""
    where = f"{what} in bucket {bucket}"
    with reaching("S3", where):
        try:
            yield
        except ClientError as exc:
            raise _answer(exc, bucket, what, where) from exc


def _answer(exc: ClientError, bucket: str, what: str, where: str) -> StoreError:
    code, status = code_of(exc), exc.response["ResponseMetadata"]["HTTPStatusCode"]
    if code == "NoSuchBucket" or (status == 404 and exc.operation_name == "HeadBucket"):
        return Unavailable(f"bucket {bucket} does not exist; {_MENDED_BY_BUCKET}")
    if code in _NO_OBJECT:
        return NotFound(what)
    if code in _CONFLICT:
        return Conflict(f"{what} was written by somebody else meanwhile")
    if code == _UNDECIDED:
        return Undecided(f"{where}: other requests for it came at the same time again and again")
    message = shortened(exc.response["Error"].get("Message", ""))
    said = f"{where}: S3 answered {status} {code}" + (f" ({message})" if message else "")
    if status == 403 or code in _DENIED:
        return Denied(f"{said}; {_DENIED.get(code, _MENDED_BY_RIGHTS)}")
    if status in (429, 503) or code in _THROTTLED:
        return Throttled(said)
    return TimedOut(said) if code == "RequestTimeout" else Unavailable(said)
