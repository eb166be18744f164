"""Request bodies, bounded in size and in time while they arrive."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from media.settings import ServerSettings
from server.problems import BodyTimeout, InvalidFields, Malformed, TooLarge, WrongContentType

MAX_JSON_BYTES = 64 * 1024
PROGRESS_BYTES = 64 * 1024  # must arrive within every timeout, so that dripping does not last

Body = TypeVar("Body", bound=BaseModel)


def declared_length(request: Request) -> int | None:
    """The server has refused a Content-Length that is not a number."""
    text = request.headers.get("content-length")
    return None if text is None else int(text)


def body_chunks(request: Request, *, max_bytes: int, timeout_s: float) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises TooLarge, at once where Content-Length tells, BodyTimeout
    and ClientDisconnect."""
    if (declared_length(request) or 0) > max_bytes:
        raise TooLarge(f"The body may have {max_bytes} bytes, Content-Length says more.")
    return _chunks(request, max_bytes, timeout_s)


async def _chunks(request: Request, max_bytes: int, timeout_s: float) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    received, checkpoint, more = 0, PROGRESS_BYTES, True
    while more:
        try:
            async with asyncio.timeout_at(deadline):
                message = await request.receive()
        except TimeoutError as exc:
            raise BodyTimeout(
                f"After {received} bytes fewer than {PROGRESS_BYTES} came within {timeout_s:g} s."
            ) from exc
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge(f"The body may have {max_bytes} bytes, more than that came.")
        if received >= checkpoint:
            checkpoint = received + PROGRESS_BYTES
            deadline = loop.time() + timeout_s
        if chunk:
            yield chunk


def json_timeout_s(settings: ServerSettings) -> float:
    """Half of the time to answer is left for the answer itself."""
    return min(settings.readtimeout.total_seconds(), settings.writetimeout.total_seconds() / 2)


async def read_json(request: Request, model: type[Body], *, timeout_s: float) -> Body:
    _expect_json(request)
    return parse(model, await _read(request, timeout_s))


async def read_optional_json(request: Request, model: type[Body], *, timeout_s: float) -> Body:
    """With no body at all, of whatever type, the model's defaults."""
    body = await _read(request, timeout_s)
    if not body:
        return model()
    _expect_json(request)
    return parse(model, body)


def _expect_json(request: Request) -> None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise WrongContentType(f"Expected application/json, got {content_type or 'none'}.")


async def _read(request: Request, timeout_s: float) -> bytes:
    chunks = body_chunks(request, max_bytes=MAX_JSON_BYTES, timeout_s=timeout_s)
    return b"".join([chunk async for chunk in chunks])


def parse(model: type[Body], json: bytes) -> Body:
    try:
        return model.model_validate_json(json)
    except ValidationError as exc:
        raise _problem(exc) from exc


def validate(model: type[Body], fields: dict[str, str | None]) -> Body:
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise _problem(exc) from exc


def _problem(exc: ValidationError) -> Malformed | InvalidFields:
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return Malformed(f"The body is not JSON: {errors[0]['msg']}.")
    return InvalidFields(
        {".".join(str(step) for step in e["loc"]) or "body": e["msg"] for e in errors}
    )
