import pytest

from server.tokens import TokenKeys, encode, issue
from tests.server.origin.process import KEYS
from tests.server.origin.served import CORS, EXPIRES_AT_S, FINAL, TOKEN, Server, path_of


def test_origin_takes_the_token_of_each_key(server: Server) -> None:
    for kid, secret in KEYS.secrets.items():
        token = issue(TokenKeys({kid: secret}), "m1", EXPIRES_AT_S)
        assert server.ask(path_of("index.m3u8", token)).status == 200


REFUSED = {
    "of an unknown key": encode(TokenKeys({"gone": b"g" * 32}), "m1", EXPIRES_AT_S, bytes(16)),
    "of a forged key": encode(TokenKeys({"new": b"g" * 32}), "m1", EXPIRES_AT_S, bytes(16)),
    "expired": encode(KEYS, "m1", 1_000_000_000, bytes(16)),
    "of another title": encode(KEYS, "m2", EXPIRES_AT_S, bytes(16)),
    "of a title that begins alike": encode(KEYS, "m", EXPIRES_AT_S, bytes(16)),
    "tampered": TOKEN[:-8] + ("AAAAAAAA" if TOKEN[-8:] != "AAAAAAAA" else "BBBBBBBB"),
    "oversized": "A" * 5000,
    "junk": "junk",
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED)
def test_origin_refuses_a_token(server: Server, token: str) -> None:
    before = server.reads("index.m3u8"), server.reads("none.m3u8")
    there = server.ask(path_of("index.m3u8", token))
    missing = server.ask(path_of("none.m3u8", token))
    assert there.status == missing.status == 403
    assert there.body == missing.body
    assert there.headers | {"date": ""} == missing.headers | {"date": ""}
    assert there.headers["cache-control"] == "no-store"
    assert CORS.items() <= there.headers.items()
    assert (server.reads("index.m3u8"), server.reads("none.m3u8")) == before


HOSTILE = [
    "/v/m1/1/index.m3u8",
    f"/t//{TOKEN}/v/m1/1/index.m3u8",
    f"//t/{TOKEN}/v/m1/1/index.m3u8",
    f"/t/{TOKEN}//v/m1/1/index.m3u8",
    f"/t/{TOKEN}/v/m1//1/index.m3u8",
    f"/t/{TOKEN}/v/m1/1/../1/index.m3u8",
    f"/t/{TOKEN}/v/m1/../m2/1/index.m3u8",
    f"/t/{TOKEN}/v/m1/1/../../../../etc/passwd",
    f"/t/{TOKEN}/v/m1/%2e%2e/m2/1/index.m3u8",
    f"/t/{TOKEN}/v/m1/1/..%2f..%2fm2%2f1%2findex.m3u8",
    f"/t/{TOKEN}/v/m1/1/%252e%252e/index.m3u8",
    f"/t/{TOKEN}/v/m1/1/index.m3u8%00",
    f"/t/{TOKEN}/v/m1/1/index.m3u8%0d%0aX-Evil:1",
    f"/t/{TOKEN}/v/m1/1/.hidden",
    f"/t/{TOKEN}/v/m1/1/index.m3u8/",
    f"/t/{TOKEN}/v/m1/1/index.m3u8;a",
    f"/t/{TOKEN}/v/m1/1/{'a' * 300}.m4s",
    f"/t/{TOKEN}/v/m1/1/a/b/index.m3u8",
    f"/t/{TOKEN}/v/m1/1/\\index.m3u8",
    f"/t/{TOKEN}/v/m1/1/%c3%a9.m3u8",
    f"/t/{TOKEN}/v/m1/1/%ff.m3u8",
    f"/t/{TOKEN}/source/m1",
    f"/t/{TOKEN}",
    "/t/",
    "/t",
    "*",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_origin_refuses_a_hostile_target(server: Server, target: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = server.send(head.encode())
    assert answer.startswith(b"HTTP/1.1 403 "), answer[:200]
    assert answer.count(b"HTTP/1.1") == 1
    assert b"x-evil" not in answer.lower()


def test_encoded_name_is_no_second_spelling(server: Server) -> None:
    assert server.ask(path_of("%69ndex.m3u8")).status == 403


BROKEN = [
    b"GET /t/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /t/a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /t/a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /t/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /t/a HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"GET /t/a HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(500)) + b"\r\n",
]


@pytest.mark.parametrize("head", BROKEN, ids=range(len(BROKEN)))
def test_origin_turns_a_broken_head_away(server: Server, head: bytes) -> None:
    answer = server.send(head)
    assert answer == b"" or answer.startswith(
        (b"HTTP/1.1 400 ", b"HTTP/1.1 414 ", b"HTTP/1.1 431 ")
    )
    assert server.ask(path_of("index.m3u8")).status == 200


@pytest.mark.parametrize("name", ["Range", "If-None-Match", "If-Range", "Accept-Encoding"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xc3\xa9", b",,,;;==", b"a" * 8000])
def test_origin_bears_any_header_value(server: Server, name: str, value: bytes) -> None:
    head = f"GET {path_of('index.m3u8')} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{name}: "
    answer = server.send(head.encode() + value + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(FINAL)


def test_origin_ignores_a_body(server: Server) -> None:
    head = f"GET {path_of('index.m3u8')} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    answer = server.send(head.encode() + b"Connection: close\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 200 ")
