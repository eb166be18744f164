"""What a CDN is answered that has verified the token itself and asks without one."""

import pytest

from tests.server.origin.process import SECRETS
from tests.server.origin.served import CORS, FINAL, Server, path_of

PATH = "/v/m1/1/index.m3u8"
NEW, OLD = SECRETS


@pytest.mark.parametrize("secret", SECRETS)
def test_origin_trusts_each_secret(server: Server, secret: str) -> None:
    for path in (PATH, f"{PATH}?a=b"):
        answer = server.ask(path, {"X-Origin-Verify": secret})
        assert (answer.status, answer.body) == (200, FINAL)


def test_origin_keeps_one_object_for_both_ways_to_it(server: Server) -> None:
    path = server.store("720p/both.m4s", b"both")
    assert server.ask(path).body == b"both"
    trusted = server.ask("/v/m1/1/720p/both.m4s", {"X-Origin-Verify": NEW})
    assert trusted.body == b"both"
    assert server.reads("720p/both.m4s") == 1


WRONG = {
    "none": {},
    "empty": {"X-Origin-Verify": ""},
    "another": {"X-Origin-Verify": "x" * 40},
    "longer": {"X-Origin-Verify": NEW + "n"},
    "in another header": {"Authorization": NEW},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_origin_refuses_alike_without_a_secret(server: Server, headers: dict[str, str]) -> None:
    before = server.reads("index.m3u8")
    refusal = server.ask(path_of("index.m3u8", "junk"))
    for path in (PATH, "/v/m1/1/none.m3u8"):
        answer = server.ask(path, headers)
        assert (answer.status, answer.body) == (403, refusal.body)
        assert answer.headers | {"date": ""} == refusal.headers | {"date": ""}
        assert answer.headers["cache-control"] == "no-store"
        assert CORS.items() <= answer.headers.items()
    assert server.reads("index.m3u8") == before


@pytest.mark.parametrize("value", [b"\xff" * 40, b"\xc3\xa9" * 20, b"n" * 8000])
def test_origin_bears_any_secret(server: Server, value: bytes) -> None:
    head = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Origin-Verify: "
    assert server.send(head.encode() + value + b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_origin_takes_the_first_of_two_secrets(server: Server) -> None:
    """As it takes the first of any header; CloudFront replaces what a viewer sends."""
    for first, status in (("x" * 40, b"403"), (NEW, b"200")):
        head = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Origin-Verify: {first}"
        answer = server.send(f"{head}\r\nX-Origin-Verify: {NEW}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 " + status)
