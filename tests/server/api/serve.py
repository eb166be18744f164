"""The all-in-one application on Granian, or the API alone where no page is named; settings come
as JSON from whoever starts it."""

import os
import sys
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces
from starlette.types import ASGIApp

from media.settings import Settings
from server.app import create_api_app, create_app

SETTINGS = "HEADRACE_TEST_SETTINGS"
PAGE = "HEADRACE_TEST_PAGE"


def app() -> ASGIApp:
    settings = Settings.model_validate_json(os.environ[SETTINGS])
    page = os.environ.get(PAGE)
    return create_api_app(settings) if page is None else create_app(settings, page=Path(page))


if __name__ == "__main__":
    Granian(
        "tests.server.api.serve:app",
        factory=True,
        interface=Interfaces.ASGI,
        port=int(sys.argv[1]),
        websockets=False,
    ).serve()
