"""An OpenAPI description as an oracle for what a server answers."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

UNDESCRIBED = {"urn:headrace:problem:no-such-route", "urn:headrace:problem:method-not-allowed"}


class Description:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._patterns = {
            re.compile(re.sub(r"{\w+}", "[^/]+", path)): path for path in document["paths"]
        }

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def check(self, response: httpx.Response) -> None:
        """Raises AssertionError where a response is not as described."""
        response.read()
        request = response.request
        operation = self._operation(request)
        if operation is None:
            assert response.json()["type"] in UNDESCRIBED, response.text
            self._validate(response.json(), {"$ref": "#/components/schemas/ProblemBody"})
            return
        described = operation["responses"].get(str(response.status_code))
        assert described is not None, f"{request.method} {request.url}: {response}"
        for name, header in described.get("headers", {}).items():
            assert name in response.headers or not header["required"], name
        self._check_content(response, described.get("content"))

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        literal_first = sorted(self._patterns.items(), key=lambda item: "{" in item[1])
        for pattern, path in literal_first:
            methods = self.document["paths"][path]
            if pattern.fullmatch(request.url.path) and request.method.lower() in methods:
                operation: dict[str, Any] = methods[request.method.lower()]
                return operation
        return None

    def _check_content(self, response: httpx.Response, content: dict[str, Any] | None) -> None:
        if content is None:
            assert response.content == b""
            return
        media_type = response.headers["Content-Type"].partition(";")[0]
        schema = content[media_type].get("schema")
        if media_type.endswith("json") and schema is not None:
            self._validate(response.json(), schema)

    def _validate(self, value: object, schema: dict[str, Any]) -> None:
        whole = schema | {"components": self.document["components"]}
        Draft202012Validator(whole).validate(value)
