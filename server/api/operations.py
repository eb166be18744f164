"""What the API does, one Operation each: the routes and the OpenAPI description are both made
from this list, and the checks that it promises are made here."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.problems import AnswerTimeout, UserMissing

_USER_ID = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,127}")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Takes:
    """A request body: a model, or for a form and for bare bytes their JSON schema."""

    media_type: str
    schema: type[BaseModel] | dict[str, object]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Gives:
    """The answer when all goes well."""

    status: int
    description: str
    model: type[BaseModel] | None = None
    media_type: str | None = "application/json"  # None: no body
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    endpoint: Endpoint
    summary: str
    gives: Gives
    otherwise: Gives | None = None  # the other way in which all goes well
    takes: Takes | None = None
    query: Mapping[str, dict[str, object]] = field(default_factory=dict)
    query_required: bool = False
    headers: Mapping[str, dict[str, object]] = field(default_factory=dict)
    problems: tuple[type[Exception], ...] = ()
    for_user: bool = True
    bounded: bool = True  # by server.writetimeout; an upload takes what it takes

    @property
    def name(self) -> str:
        return self.endpoint.__name__

    def all_problems(self) -> tuple[type[Exception], ...]:
        user = (UserMissing,) if self.for_user else ()
        timeout = (AnswerTimeout,) if self.bounded else ()
        return (*user, *self.problems, *timeout)


def user_id(request: Request) -> str:
    """Raises UserMissing."""
    given = request.headers.getlist("x-user-id")
    if len(given) != 1:
        raise UserMissing("Send the header X-User-ID once: it names the user.")
    if not is_user_id(given[0]):
        raise UserMissing("X-User-ID takes 1 to 128 printable ASCII characters.")
    return given[0]


def is_user_id(given: str) -> bool:
    return _USER_ID.fullmatch(given) is not None


def make_routes(operations: Iterable[Operation], timeout: timedelta) -> list[Route]:
    # '{' sorts behind every letter: a literal segment is tried before a parameter.
    by_path = groupby(sorted(operations, key=lambda op: op.path), key=lambda op: op.path)
    return [_route(path, list(group), timeout.total_seconds()) for path, group in by_path]


def _route(path: str, operations: Sequence[Operation], timeout_s: float) -> Route:
    """One route for all methods of a path, so that a 405 lists them all in Allow."""
    by_method = {operation.method: operation for operation in operations}

    async def endpoint(request: Request) -> Response:
        operation = by_method["GET" if request.method == "HEAD" else request.method]
        if operation.for_user:
            user_id(request)
        if not operation.bounded:
            return await operation.endpoint(request)
        return await _bounded(operation, request, timeout_s)

    return Route(path, endpoint, methods=list(by_method))


async def _bounded(operation: Operation, request: Request, timeout_s: float) -> Response:
    timeout = asyncio.timeout(timeout_s)
    try:
        async with timeout:
            return await operation.endpoint(request)
    except TimeoutError as exc:
        if not timeout.expired():
            raise
        raise AnswerTimeout(f"There was no answer within {timeout_s:g} s.") from exc
