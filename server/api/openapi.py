"""The OpenAPI description, made from the operations that also make the routes."""

import re
from collections.abc import Collection, Iterator, Sequence
from http import HTTPStatus

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server.api.bodies import REFERENCE, WebhookBody
from server.api.operations import Gives, Operation, Takes
from server.problems import INTERNAL, KINDS, MEDIA_TYPE, Kind, ProblemBody

JsonObject = dict[str, object]

_HEADERS = {
    "Location": "Where the title is.",
    "ETag": "Changes whenever the bytes do.",
    "Retry-After": "Seconds after which trying again may help.",
    "WWW-Authenticate": "The header that names the user.",
    "Connection": "The rest of the body is not read.",
}
_DESCRIPTION = (
    "Upload video or audio, follow its encoding, get a URL to play it. "
    "Browsers on any origin may call it. Every error is an RFC 9457 problem."
)

_WEBHOOK: JsonObject = {
    "summary": "What happens to titles, POSTed to `webhook.url` and signed as Standard Webhooks "
    "1.0.0 has it",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": REFERENCE.format(model=WebhookBody.__name__)}}
        },
    },
    "responses": {
        "2XX": {"description": "You have it. Anything else: it comes again."},
        "410": {"description": "You want no more events of this title."},
    },
}


def describe(operations: Sequence[Operation], version: str) -> JsonObject:
    _, schemas = models_json_schema(
        list(dict.fromkeys(_models(operations))), ref_template=REFERENCE
    )
    paths: dict[str, JsonObject] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace control API",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "webhooks": {"event": {"post": _WEBHOOK}},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"user": {"type": "apiKey", "in": "header", "name": "X-User-ID"}},
        },
    }


def _models(operations: Sequence[Operation]) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    yield ProblemBody, "serialization"
    yield WebhookBody, "serialization"
    for operation in operations:
        if operation.gives.model is not None:
            yield operation.gives.model, "serialization"
        if operation.takes is not None and isinstance(operation.takes.schema, type):
            yield operation.takes.schema, "validation"


def _operation(operation: Operation) -> JsonObject:
    described: JsonObject = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            *_path_parameters(operation.path),
            *_query_parameters(operation),
            *_header_parameters(operation),
        ],
        "responses": {**_answers(operation), **_problems(operation)},
        "security": [{"user": []}] if operation.for_user else [],
    }
    if operation.takes is not None:
        described["requestBody"] = _taken(operation.takes)
    return described


def _path_parameters(path: str) -> Iterator[JsonObject]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(operation: Operation) -> Iterator[JsonObject]:
    for name, schema in operation.query.items():
        required = operation.query_required
        yield {"name": name, "in": "query", "required": required, "schema": schema}


def _header_parameters(operation: Operation) -> Iterator[JsonObject]:
    for name, schema in operation.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": schema}


def _taken(takes: Takes) -> JsonObject:
    schema = takes.schema if isinstance(takes.schema, dict) else _ref(takes.schema)
    return {"required": takes.required, "content": {takes.media_type: {"schema": schema}}}


def _answers(operation: Operation) -> dict[str, JsonObject]:
    ways = (
        [operation.gives] if operation.otherwise is None else [operation.gives, operation.otherwise]
    )
    return {str(gives.status): _given(gives) for gives in ways}


def _given(gives: Gives) -> JsonObject:
    described: JsonObject = {
        "description": gives.description,
        "headers": _headers(gives.headers, required=True),
    }
    if gives.model is not None:
        described["content"] = {gives.media_type: {"schema": _ref(gives.model)}}
    elif gives.media_type is not None:
        described["content"] = {gives.media_type: {"schema": {"type": "string"}}}
    return described


def _problems(operation: Operation) -> dict[str, JsonObject]:
    kinds: dict[int, list[Kind]] = {INTERNAL.status: [INTERNAL]}
    for problem in operation.all_problems():
        kinds.setdefault(KINDS[problem].status, []).append(KINDS[problem])
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: "
            + ", ".join(f"`{kind.name}`" for kind in kinds[status]),
            "headers": _headers({name for kind in kinds[status] for name in kind.headers}),
            "content": {MEDIA_TYPE: {"schema": _ref(ProblemBody)}},
        }
        for status in sorted(kinds)
    }


def _headers(names: Collection[str], *, required: bool = False) -> JsonObject:
    return {
        name: {"description": _HEADERS[name], "required": required, "schema": {"type": "string"}}
        for name in sorted(names)
    }


def _ref(model: type[BaseModel]) -> JsonObject:
    return {"$ref": REFERENCE.format(model=model.__name__)}
