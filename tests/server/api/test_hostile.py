"""Whatever is sent, the answer is ours, is below 500, and an error is a problem."""

import http.client
from urllib.parse import quote_from_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.server.api.forms import CONTENT_TYPE
from tests.server.api.service import Server

LATIN_1 = [chr(n) for n in (9, *range(0x20, 0x7F), *range(0x80, 0x100))]
header_values = st.text(st.sampled_from(LATIN_1), max_size=40).map(str.strip)
segments = st.sampled_from(
    ["api", "v1", "media", "upload", "presign", "confirm", "playback", "0" * 24, "health"]
) | st.binary(max_size=12).map(quote_from_bytes)
routes = st.sampled_from(
    [
        "/api/v1/media",
        "/api/v1/upload",
        "/api/v1/upload/presign",
        f"/api/v1/upload/{'0' * 24}",
        f"/api/v1/upload/{'0' * 24}/confirm",
        f"/api/v1/media/{'0' * 24}/playback",
        f"/api/v1/media/{'0' * 24}/priority",
        f"/api/v1/media/{'0' * 24}/retry",
        "/api/v1/cmcd",
    ]
)
paths = routes | st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
queries = st.dictionaries(
    st.sampled_from(["limit", "cursor", "expires", "max", "signature", "token", "x"]),
    st.binary(max_size=20).map(quote_from_bytes),
    max_size=3,
).map(lambda query: "&".join(f"{name}={value}" for name, value in query.items()))
json_bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
headers = st.fixed_dictionaries(
    {"X-User-ID": header_values | st.just("fuzz")},
    optional={
        "Content-Type": st.sampled_from([CONTENT_TYPE, "application/json"]) | header_values,
        "Host": header_values,
        "X-Request-ID": header_values,
        "Idempotency-Key": header_values,
        "Range": header_values,
        "Origin": header_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"]),
    paths,
    queries,
    headers,
    st.binary(max_size=200) | json_bodies.map(lambda value: repr(value).encode("utf-8", "replace")),
)
@example("GET", "/api/v1/media", "cursor=%ff", {"X-User-ID": "a"}, b"")
@example("POST", "/api/v1/upload/presign", "", {"X-User-ID": "a", "Host": "[::1"}, b"{}")
def test_nothing_sent_makes_the_server_fail(
    server: Server, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.putrequest(method, f"{path}?{query}", skip_host="Host" in headers)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    assert response.status < 500, content
    if response.status >= 400:
        assert response.headers["Content-Type"] == "application/problem+json", content
