import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.head import read_request
from native.origin import Request

FIELDS = {
    "range": "range",
    "if-range": "if_range",
    "if-none-match": "if_none_match",
    "accept-encoding": "accept_encoding",
    "x-origin-verify": "origin_verify",
}


def accepted(head: bytes) -> tuple[Request, bool]:
    answer = read_request(head)
    assert isinstance(answer, tuple), answer
    return answer


def by_h11(head: bytes) -> h11.Request | None:
    """As another reader understands it; None if it refuses."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def test_request_is_read() -> None:
    request, is_last = accepted(
        b"GET /t/a/v/m/1/x.m4s?CMCD=bl%3D1 HTTP/1.1\r\nHOST: a\r\nRange:bytes=0-1\r\n"
        b'if-Range: \t"e" \t\r\nIf-None-Match: *\r\n'
        b"accept-encoding: gzip\r\nX-Origin-Verify: s\r\n\r\n"
    )
    assert (request.method, request.path, request.is_head) == ("GET", "/t/a/v/m/1/x.m4s", False)
    assert (request.range, request.if_range) == ("bytes=0-1", '"e"')
    assert (request.if_none_match, request.accept_encoding) == ("*", "gzip")
    assert request.origin_verify == "s"
    assert not is_last


def test_absent_fields_are_none_and_the_first_of_its_name_counts() -> None:
    request, _ = accepted(b"HEAD / HTTP/1.1\r\nHost: a\r\nRange: one\r\nrange: two\r\n\r\n")
    assert request.is_head
    assert (request.range, request.if_range, request.origin_verify) == ("one", None, None)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/?", "/"),
        ("/a%2fb?c=/d", "/a%2fb"),
        ("http://host/a?b", "/a"),
        ("HTTPS://host:1/a", "/a"),
        ("http://host", "/"),
        ("http://host?/a", "/"),
        ("/a?http://host/b", "/a"),
        ("http:?//a/b", "http:"),
        ("*", "*"),
        ("host:443", "host:443"),
        ("h", "h"),
        ("http://", "http://"),
        ("https:/", "https:/"),
    ],
)
def test_path_is_what_stands_behind_the_host_and_before_the_query(target: str, path: str) -> None:
    request, _ = accepted(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert request.path == path


LAST = {
    "Connection: close": True,
    "Connection: keep-alive, Close": True,
    "connection:,close,": True,
    "Connection: closed": False,
    "Connection: keep-alive": False,
    "Connection: close-d": False,
    "Content-Length: 0": False,
    "Content-Length: 00": True,
    "Content-Length: 5": True,
    "Content-Length: -0": True,
    "Content-Length:": True,
    "Transfer-Encoding: chunked": True,
    "Transfer-Encoding: identity": True,
    "Transfer-Encoding:": True,
    "Upgrade: h2c": False,
}


@pytest.mark.parametrize("line", LAST)
def test_whatever_may_have_a_body_is_the_last_request(line: str) -> None:
    _, is_last = accepted(f"GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())
    assert is_last == LAST[line]


def test_older_client_needs_no_host_and_is_answered_once() -> None:
    for host in (b"", b"Host: a\r\n"):
        _, is_last = accepted(b"GET / HTTP/1.0\r\n" + host + b"\r\n")
        assert is_last


REFUSED = {
    b"\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,  # no host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"GET / HTTP/1\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.x\r\nHost: a\r\n\r\n": 505,
    b"GET / http/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\r\n\r\n": 400,
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n": 400,
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /?\xff HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n": 400,  # obs-fold
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n": 400,
}


@pytest.mark.parametrize("head", REFUSED, ids=repr)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    assert read_request(head) == REFUSED[head]


NAMES = st.sampled_from(["Host", "X", "Range", "If-Range", "Connection", "Accept-Encoding", "a!"])
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
PIECES = st.sampled_from(
    [b"\r", b"\n", b"\0", b" ", b":", b"\t", b"", b"", b"", b"", b"\xff", b"x"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Of requests, most with an accident in one place."""
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "get"]))
    target = draw(st.sampled_from(["/", "/a/b", "*", "/a?b", "/%00"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    lines = [f"{method} {target} HTTP/{version}", "Host: a"]
    lines += [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(NAMES, VALUES)))]
    head = "\r\n".join(lines).encode()
    at = draw(st.integers(0, len(head)))
    return head[:at] + draw(PIECES) + head[at:] + b"\r\n\r\n"


@given(heads())
def test_what_is_accepted_means_the_same_to_another_reader(head: bytes) -> None:
    head = head[: head.index(b"\r\n\r\n") + 4]
    answer = read_request(head)
    if isinstance(answer, int):
        assert answer in (400, 505)
        return
    request, _ = answer
    other = by_h11(head)
    assert other is not None
    assert request.method.encode() == other.method
    assert request.path.encode() == other.target.partition(b"?")[0]
    for name, attribute in FIELDS.items():
        values = [value for found, value in other.headers if found == name.encode()]
        expected = values[0].decode("latin-1") if values else None
        assert getattr(request, attribute) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(junk: bytes) -> None:
    head = junk.replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
    assert isinstance(read_request(head), tuple | int)
