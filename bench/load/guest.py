"""Whatever uses the service: requests under bounded names, and to no host that was not named.

Locust has made `time.sleep` and sockets those of gevent, so that users wait side by side.
"""

import time
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.user.task import LOCUST_STATE_STOPPING

API = "/api/v1"
TIMEOUT_S = 30.0


def options_of(environment: Environment) -> Any:
    """Of the command line."""
    assert environment.parsed_options is not None
    return environment.parsed_options


class NotNamed(Exception):
    """A URL leads to a host that this run was not given."""


class Guest(FastHttpUser):
    abstract = True
    insecure = False
    network_timeout = connection_timeout = TIMEOUT_S

    @property
    def is_leaving(self) -> bool:
        """The run is over, or its shape wants fewer users."""
        return bool(self._state == LOCUST_STATE_STOPPING)

    def ask(
        self, method: str, url: str, name: str, *, expected: int = 200, **sent: Any
    ) -> ResponseContextManager | None:
        """None for any other answer than the expected one, which is counted as an error."""
        if not self._is_named(url):
            self.tell(method, name, 0.0, NotNamed(f"{url[:100]} is elsewhere: name its host"))
            return None
        with self.client.request(
            method, url, name=name, catch_response=True, allow_redirects=False, **sent
        ) as response:
            answered = response.status_code == expected
            if response.status_code and not answered:
                response.failure(f"{response.status_code}, expected {expected}")
        return response if answered else None

    def call(
        self, method: str, path: str, name: str, user_id: str, **sent: Any
    ) -> ResponseContextManager | None:
        """A control request in a user's name."""
        headers = {"X-User-ID": user_id, **sent.pop("headers", {})}
        return self.ask(method, f"{API}{path}", name, headers=headers, **sent)

    def tell(self, kind: str, name: str, ms: float, exception: Exception | None = None) -> None:
        """Something measured that is no request."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=ms,
            response_length=0,
            exception=exception,
            context={},
            start_time=time.time(),
        )

    def _is_named(self, url: str) -> bool:
        parts = urlsplit(url)
        if not parts.netloc:
            return True
        named = {str(self.host).rstrip("/"), *options_of(self.environment).media_host}
        return f"{parts.scheme}://{parts.netloc}" in named
