"""Every way a control request can fail, and the one table that gives each its status.

An answer is RFC 9457 problem+json: `type` is stable for programs, `detail` is for a person.

Problem                 carries the detail
+-- UserMissing
+-- SignatureRefused
+-- TokenRefused
+-- TitleNotFound
+-- NotPlayable
+-- TitleFailed
+-- UploadMissing
+-- UploadClosed
+-- UploadUnderWay
+-- KeyReused
+-- SourceGone
+-- TitleFinished
+-- BodyTimeout
+-- TooLarge
+-- WrongContentType
+-- Malformed
+-- InvalidFields       also says which fields
+-- TooManyListeners
+-- TooManyReports
+-- AnswerTimeout
+-- ServerStopping
+-- NotReady            also says which stores
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stores import tracing
from stores.catalog.base import InvalidCursor
from stores.errors import Conflict, Unavailable

MEDIA_TYPE = "application/problem+json"
MAX_ECHO = 200  # characters of the request repeated in an answer
RETRY_AFTER_S = 2  # a title becomes playable, and a store comes back, within seconds


class Problem(Exception):
    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def members(self) -> dict[str, object]:
        """What this problem says beyond the five members of RFC 9457."""
        return {}


class UserMissing(Problem):
    pass


class SignatureRefused(Problem):
    pass


class TokenRefused(Problem):
    pass


class TitleNotFound(Problem):
    def __init__(self) -> None:
        super().__init__("You have no title with this id.")


class NotPlayable(Problem):
    pass


class TitleFailed(Problem):
    pass


class UploadMissing(Problem):
    pass


class UploadClosed(Problem):
    pass


class UploadUnderWay(Problem):
    pass


class KeyReused(Problem):
    pass


class SourceGone(Problem):
    pass


class TitleFinished(Problem):
    pass


class BodyTimeout(Problem):
    pass


class TooLarge(Problem):
    pass


class WrongContentType(Problem):
    pass


class Malformed(Problem):
    pass


class InvalidFields(Problem):
    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {message}." for field, message in errors.items()))
        self.errors = errors

    def members(self) -> dict[str, object]:
        return {"errors": [{"field": f, "message": m} for f, m in self.errors.items()]}


class TooManyListeners(Problem):
    pass


class TooManyReports(Problem):
    pass


class AnswerTimeout(Problem):
    pass


class ServerStopping(Problem):
    pass


class NotReady(Problem):
    def __init__(self, failures: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{store}: {reason}." for store, reason in failures.items()))
        self.failures = failures

    def members(self) -> dict[str, object]:
        return {"checks": dict(self.failures)}


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    name: str
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return f"urn:headrace:problem:{self.name}"


RETRY = {"Retry-After": str(RETRY_AFTER_S)}
CLOSE = {"Connection": "close"}  # the rest of the body is not read
NAME_USER = {"WWW-Authenticate": "X-User-ID"}  # RFC 9110 wants one with every 401

NO_ROUTE = Kind(404, "no-such-route", "There is nothing at this path")
METHOD_NOT_ALLOWED = Kind(405, "method-not-allowed", "This path does not take this method")
INTERNAL = Kind(500, "internal", "The server failed")

KINDS: dict[type[Exception], Kind] = {
    Malformed: Kind(400, "malformed", "The request cannot be read"),
    InvalidCursor: Kind(400, "invalid-cursor", "The cursor is not one of ours"),
    ClientDisconnect: Kind(400, "disconnected", "The client went away"),  # for the log alone
    UserMissing: Kind(401, "user-missing", "The request names no user", NAME_USER),
    SignatureRefused: Kind(403, "signature-refused", "The upload URL does not hold"),
    TokenRefused: Kind(403, "token-refused", "The playback token does not hold"),
    TitleNotFound: Kind(404, "title-not-found", "No such title"),
    BodyTimeout: Kind(408, "body-timeout", "The request body did not arrive in time", CLOSE),
    Conflict: Kind(409, "conflict", "The title changed meanwhile"),
    NotPlayable: Kind(409, "not-playable", "The title cannot be played yet", RETRY),
    TitleFailed: Kind(409, "title-failed", "The title cannot be played"),
    UploadMissing: Kind(409, "upload-missing", "Nothing has been uploaded"),
    UploadClosed: Kind(409, "upload-closed", "The upload is complete"),
    UploadUnderWay: Kind(409, "upload-under-way", "The same upload is still under way", RETRY),
    SourceGone: Kind(409, "source-gone", "The uploaded file is not there any more"),
    TitleFinished: Kind(409, "title-finished", "There is no work left on the title"),
    TooLarge: Kind(413, "too-large", "The upload is too large", CLOSE),
    WrongContentType: Kind(415, "wrong-content-type", "This content type is not taken here"),
    KeyReused: Kind(422, "key-reused", "The Idempotency-Key was another request's"),
    InvalidFields: Kind(422, "invalid-fields", "Some fields are not valid"),
    TooManyReports: Kind(429, "too-many-reports", "The player reports too often", RETRY),
    TooManyListeners: Kind(503, "too-many-listeners", "Too many event streams are open", RETRY),
    AnswerTimeout: Kind(503, "answer-timeout", "The answer took too long", RETRY),
    ServerStopping: Kind(503, "server-stopping", "The server is stopping", {**RETRY, **CLOSE}),
    NotReady: Kind(503, "not-ready", "The service is not ready", RETRY),
    Unavailable: Kind(503, "store-unavailable", "A store does not answer", RETRY),
}


class FieldError(BaseModel):
    field: str
    message: str


class ProblemBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: str = Field(pattern=r"^urn:headrace:problem:[a-z-]+$")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    errors: list[FieldError] | None = Field(None, description="The fields that are not valid.")
    trace_id: str | None = Field(None, description="For whoever looks into it.")
    checks: dict[str, str] | None = Field(None, description="The stores that fail, and why.")


def kind_of(exc: Exception) -> Kind:
    if isinstance(exc, HTTPException):  # raised by Starlette's router, with these two alone
        return METHOD_NOT_ALLOWED if exc.status_code == METHOD_NOT_ALLOWED.status else NO_ROUTE
    return next((KINDS[cls] for cls in type(exc).__mro__ if cls in KINDS), INTERNAL)


def problem_response(request: Request, exc: Exception) -> Response:
    kind = kind_of(exc)
    members: dict[str, object] = {}
    headers = kind.headers
    match exc:
        case Problem():
            detail, members = exc.detail, exc.members()
        case HTTPException():
            detail = f"{request.method} {request.scope['path'][:MAX_ECHO]}"
            headers = exc.headers or {}
        case Unavailable():
            detail = "A store does not answer; try again shortly."
        case _:
            detail = str(exc) if kind is not INTERNAL else "The fault is ours and has been logged."
    body = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}
    members = {**members, "trace_id": tracing.trace_id()}
    return Response(
        ProblemBody.model_validate(body | members).model_dump_json(exclude_none=True),
        status_code=kind.status,
        headers={"Cache-Control": "no-store", **headers},
        media_type=MEDIA_TYPE,
    )
