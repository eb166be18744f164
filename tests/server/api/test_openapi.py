import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from media.settings import Settings
from server.api.app import make_api
from server.problems import KINDS, kind_of
from server.tokens import TokenKeys
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Jobs
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.server.api.description import Description
from tests.server.api.service import Server

MEDIA_FIELDS = [
    "id",
    "title",
    "description",
    "type",
    "status",
    "priority",
    "playable",
    "progress",
    "duration_s",
    "source",
    "renditions",
    "error",
    "created_at",
    "updated_at",
    "warnings",
]
OPERATIONS = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("POST", "/api/v1/upload"),
    ("POST", "/api/v1/upload/presign"),
    ("PUT", "/api/v1/upload/{id}"),
    ("POST", "/api/v1/upload/{id}/confirm"),
    ("GET", "/api/v1/media"),
    ("GET", "/api/v1/media/{id}"),
    ("DELETE", "/api/v1/media/{id}"),
    ("GET", "/api/v1/media/{id}/playback"),
    ("GET", "/api/v1/media/{id}/events"),
    ("POST", "/api/v1/media/{id}/priority"),
    ("POST", "/api/v1/media/{id}/retry"),
    ("POST", "/api/v1/cmcd"),
}


@pytest.fixture
def api(tmp_path: Path) -> Starlette:
    """Made, not run: its routes are what is looked at."""
    stores = Stores(FilesystemObjects(tmp_path), SqliteCatalog(tmp_path / "catalog"), Jobs())
    api = make_api(Settings(), stores, TokenKeys({"k": bytes(32)}))
    asyncio.run(stores.objects.close())
    asyncio.run(stores.catalog.close())
    return api


def test_description_has_the_routes_and_no_others(api: Starlette, description: Description) -> None:
    served = {
        (method, route.path)
        for route in api.routes
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
    }
    assert {(method, path) for method, path, _ in description.operations()} == served
    assert served == OPERATIONS


def test_description_is_an_openapi_document(description: Description) -> None:
    document = description.document
    assert document["openapi"] == "3.1.0"
    names = [operation["operationId"] for _, _, operation in description.operations()]
    assert len(set(names)) == len(names)
    schemas = document["components"]["schemas"]
    assert sorted(references(document)) == sorted(
        f"#/components/schemas/{name}" for name in schemas
    )
    assert list(schemas["Media"]["properties"]) == MEDIA_FIELDS
    assert schemas["Media"]["required"]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(member) for member in value.values()))
    if isinstance(value, list):
        return set().union(*(references(member) for member in value))
    return set()


def test_path_parameters_are_described(description: Description) -> None:
    for _, path, operation in description.operations():
        described = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert described == ({"id"} if "{id}" in path else set())


def test_signed_url_needs_its_whole_query_and_a_list_none(description: Description) -> None:
    required = {
        (method, path): {p["name"]: p["required"] for p in operation["parameters"]}
        for method, path, operation in description.operations()
    }
    assert required["PUT", "/api/v1/upload/{id}"] == dict.fromkeys(
        ("id", "expires", "max", "signature"), True
    )
    assert required["GET", "/api/v1/media"] == {"limit": False, "cursor": False}


def test_problems_have_one_type_each_and_a_real_status() -> None:
    types = [kind.type for kind in KINDS.values()]
    assert len(set(types)) == len(types)
    assert {HTTPStatus(kind.status) for kind in KINDS.values()} <= set(HTTPStatus)


def test_error_that_nobody_foresaw_is_internal() -> None:
    assert kind_of(ZeroDivisionError("secret")).status == 500


def test_method_that_a_path_does_not_take_is_405_with_all_that_it_takes(
    server: Server, description: Description
) -> None:
    taken: dict[str, set[str]] = {}
    for method, path, _ in description.operations():
        taken.setdefault(path, set()).add(method)
    for path, methods in taken.items():
        response = httpx.patch(server.url + path.format(id="0" * 24))
        description.check(response)
        assert response.status_code == 405
        allowed = {method.strip() for method in response.headers["Allow"].split(",")}
        assert allowed - {"HEAD"} == methods


@pytest.mark.parametrize(
    "path", ["/nope", "/api/v1/media/", "/api/v1", "/API/V1/MEDIA", "//health", "/openapi.json/x"]
)
def test_path_without_a_route_is_404(server: Server, path: str) -> None:
    response = httpx.get(server.url + path)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:headrace:problem:no-such-route"
