import gzip
import re
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from native.origin import (
    OBJECT_OVERHEAD_BYTES,
    CachedObject,
    Core,
    Miss,
    Request,
    Response,
    split_path,
)
from native.token import TokenVerifier
from server.tokens import TokenKeys, encode

NOW_S = 1_900_000_000.0
KEYS = TokenKeys({"k1": bytes(32)})
TOKEN = encode(KEYS, "m1", 2_000_000_000, bytes(16))
KEY = "v/m1/7/720p/00001-0123456789abcdef.m4s"
PATH = f"/t/{TOKEN}/{KEY}"
BODY = bytes(range(256)) * 4
PLAYLIST = b"#EXTM3U\n" * 20
CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "content-length, content-range, date, etag",
}


def core() -> Core:
    return Core(TokenVerifier(KEYS.by_kid()), 1 << 20, 1 << 17)


def segment() -> CachedObject:
    return CachedObject(BODY, "e1", "video/iso.segment", "public, max-age=9")


def playlist() -> CachedObject:
    return CachedObject(
        PLAYLIST, "e2", "text/playlist", "public, max-age=1", gzip.compress(PLAYLIST, mtime=0)
    )


def get(path: str = PATH, method: str = "GET", **headers: str) -> Request:
    return Request(method, path, **headers)


def answer(core: Core, request: Request) -> Response:
    response = core.respond(request, NOW_S)
    assert isinstance(response, Response)
    return response


def reference_split(path: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"/t/([^/]{1,1024})/(v(?:/[\w-][\w.-]*){3,4})", path, re.ASCII)
    if match is None or not path.isascii() or len(match[2]) > 255:
        return None
    return match[1], match[2]


SPLIT: list[tuple[str, tuple[str, str] | None]] = [
    ("/t/T/v/m/1/index.m3u8", ("T", "v/m/1/index.m3u8")),
    ("/t/T/v/m/1/a/b.m4s", ("T", "v/m/1/a/b.m4s")),
    ("/t/T/v/m/1/" + "a" * 248, ("T", "v/m/1/" + "a" * 248)),
    ("/t/T/v/m/1/" + "a" * 250, None),
    ("/t/" + "T" * 1024 + "/v/m/1/a", ("T" * 1024, "v/m/1/a")),
    ("/t/" + "T" * 1025 + "/v/m/1/a", None),
    ("/t/T/v/m/1/..", None),
    ("/t/T/v/m/../a", None),
    ("/t/T/v/./1/a", None),
    ("/t/T/v/m/1/.hidden", None),
    ("/t/T/v/m//a", None),
    ("/t/T//v/m/1/a", None),
    ("/t//v/m/1/a", None),
    ("//t/T/v/m/1/a", None),
    ("/t/T/v/m/1/a/", None),
    ("/t/T/v/m/1", None),
    ("/t/T/v/m/1/a/b/c", None),
    ("/t/T/v", None),
    ("/t/T/", None),
    ("/t/T", None),
    ("/t/", None),
    ("/t", None),
    ("/", None),
    ("", None),
    ("*", None),
    ("/v/m/1/a", None),
    ("/t/T/V/m/1/a", None),
    ("/t/T/w/m/1/a", None),
    ("/t/T/vv/m/1/a", None),
    ("/t/T/v/m/1/%61", None),
    ("/t/T/v/m%2f1/a", None),
    ("/t/T/v/m/1/a\0", None),
    ("/t/T/v/m/1/a b", None),
    ("/t/T/v/m/1/a\\b", None),
    ("/t/T/v/m/1/a?b", None),
    ("/t/T/v/m/1/a;b", None),
    ("/t/T/v/m/1/\u00e4", None),
    ("/t/T/v/m/1/\u2025", None),
]


@pytest.mark.parametrize(("path", "expected"), SPLIT)
def test_split_path(path: str, expected: tuple[str, str] | None) -> None:
    assert split_path(path) == expected == reference_split(path)


@given(st.text("tv/T.m-_%\0 \u00e4", max_size=30).map("/t/T/v/m".__add__) | st.text())
@example("/t/\u00e4/v/m/1/a")
def test_split_path_agrees_with_the_reference(path: str) -> None:
    assert split_path(path) == reference_split(path)


def test_core_misses_and_then_hits() -> None:
    origin = core()
    request = get()
    miss = origin.respond(request, NOW_S)
    assert isinstance(miss, Miss)
    assert (miss.key, miss.request) == (KEY, request)
    found = segment()
    origin.objects.put(KEY, found, found.size, NOW_S + 1)
    assert answer(origin, request).body is BODY
    assert isinstance(origin.respond(request, NOW_S + 1), Miss)
    assert (origin.objects.hits, origin.objects.misses, origin.refusals) == (1, 2, 0)


def changed(text: str, position: int) -> str:
    return text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]


OTHER_KEY = encode(TokenKeys({"k1": b"\1" * 32}), "m1", 2_000_000_000, bytes(16))
REFUSED = {
    "no token": f"/{KEY}",
    "empty token": f"/t//{KEY}",
    "not a token": f"/t/abc/{KEY}",
    "tampered token": f"/t/{changed(TOKEN, 60)}/{KEY}",
    "of another key": f"/t/{OTHER_KEY}/{KEY}",
    "expired": f"/t/{encode(KEYS, 'm1', int(NOW_S), bytes(16))}/{KEY}",
    "of another title": f"/t/{encode(KEYS, 'm2', 2_000_000_000, bytes(16))}/{KEY}",
    "of a title that begins alike": PATH.replace("/m1/", "/m11/"),
    "of a title whose name is cut": PATH.replace("/m1/", "/m/"),
    "oversized token": f"/t/{'A' * 1100}/{KEY}",
    "traversal": f"/t/{TOKEN}/v/m1/7/../../m2/7/index.m3u8",
    "encoded": f"/t/{TOKEN}/v/m1/7/%69ndex.m3u8",
    "below nothing": f"/t/{TOKEN}/v/m1/",
    "elsewhere": "/metrics",
    "nowhere": "",
}


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED)
def test_core_refuses_every_path_alike_and_before_any_look_up(path: str) -> None:
    origin = core()
    response = answer(origin, get(path))
    assert response.status == 403
    assert dict(response.headers) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(response.body)),
        "cache-control": "no-store",
        **CORS,
    }
    assert response is answer(origin, get("/x"))
    assert (origin.objects.hits, origin.objects.misses, origin.missing.misses) == (0, 0, 0)
    assert origin.refusals == 2


@given(st.text() | st.text("tv/.m1" + TOKEN[:5], max_size=40).map(f"/t/{TOKEN}/v/m1/".__add__))
def test_core_opens_nothing_beyond_the_prefix(path: str) -> None:
    response = core().respond(get(path), NOW_S)
    if isinstance(response, Miss):
        assert response.key.startswith("v/m1/")
        assert path == f"/t/{TOKEN}/{response.key}"
    else:
        assert response.status == 403


@given(
    st.sampled_from([segment(), playlist()]),
    st.sampled_from(["GET", "HEAD"]),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text('bytes=-,0123456789W/"*e1;qgzip ') | st.text()
            for name in ("range", "if_range", "if_none_match", "accept_encoding")
        },
    ),
)
def test_object_answers_any_headers(
    found: CachedObject, method: str, headers: Mapping[str, str]
) -> None:
    response = found.respond(Request(method, PATH, **headers))
    assert response.status in (200, 206, 304, 416)
    if response.status != 304:
        length = int(dict(response.headers)["content-length"])
        assert len(response.body) == (0 if method == "HEAD" else length)


def test_core_answers_a_missing_object_until_a_second_has_passed() -> None:
    origin = core()
    assert origin.remember_missing(KEY, NOW_S).status == 404
    response = answer(origin, get())
    assert (response.status, dict(response.headers)["cache-control"]) == (404, "public, max-age=1")
    assert CORS.items() <= dict(response.headers).items()
    assert answer(origin, get(method="HEAD")).body == b""
    assert isinstance(origin.respond(get(), NOW_S + 1), Miss)


def test_missing_objects_push_no_object_out() -> None:
    origin = core()
    found = segment()
    origin.objects.put(KEY, found, found.size, NOW_S + 1)
    for number in range(20_000):
        origin.remember_missing(f"v/m1/7/{number}.m4s", NOW_S)
    assert answer(origin, get()).status == 200
    assert origin.missing.bytes <= origin.missing.budget_bytes
    assert origin.missing.evictions > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "", "BREW"])
def test_core_allows_no_other_methods(method: str) -> None:
    response = answer(core(), get(method=method))
    assert (response.status, dict(response.headers)["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert dict(response.headers)["cache-control"] == "no-store"


def test_core_answers_a_preflight_without_a_token() -> None:
    response = answer(core(), get("/v/anything", "OPTIONS"))
    headers = dict(response.headers)
    assert (response.status, response.body) == (204, b"")
    assert headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert "range" in headers["access-control-allow-headers"]
    assert "content-length" not in headers  # RFC 9110 section 8.6
    assert CORS.items() <= headers.items()


SEGMENT_HEADERS = {
    "content-type": "video/iso.segment",
    "cache-control": "public, max-age=9",
    "etag": '"e1"',
    "accept-ranges": "bytes",
    **CORS,
}


def test_object_is_answered_whole() -> None:
    response = segment().respond(get())
    assert (response.status, response.body) == (200, BODY)
    assert dict(response.headers) == {**SEGMENT_HEADERS, "content-length": "1024"}
    assert response.raw_headers == [(n.encode(), v.encode()) for n, v in response.headers]


def test_object_is_answered_by_head_without_its_body() -> None:
    for found in (segment(), playlist()):
        for headers in ({}, {"range": "bytes=0-1"}, {"accept_encoding": "gzip"}):
            whole = found.respond(get(**{k: v for k, v in headers.items() if k != "range"}))
            head = found.respond(get(method="HEAD", **headers))
            assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


def test_object_is_answered_in_part() -> None:
    response = segment().respond(get(range="bytes=1000-"))
    assert (response.status, response.body) == (206, BODY[1000:])
    assert dict(response.headers) == {
        **SEGMENT_HEADERS,
        "content-length": "24",
        "content-range": "bytes 1000-1023/1024",
    }


def test_object_says_when_a_range_lies_outside() -> None:
    response = segment().respond(get(range="bytes=1024-"))
    headers = dict(response.headers)
    assert (response.status, headers["content-range"]) == (416, "bytes */1024")
    assert headers["cache-control"] == "no-store"
    assert b"1024 bytes" in response.body


CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({"if_none_match": '"e1"'}, 304),
    ({"if_none_match": 'W/"e1"'}, 304),
    ({"if_none_match": '"x", "e1"'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"x"'}, 200),
    ({"if_none_match": ""}, 200),
    ({"if_none_match": '"e1"', "range": "bytes=0-1"}, 304),
    ({"if_none_match": '"x"', "range": "bytes=0-1"}, 206),
    ({"range": "bytes=0-1", "if_range": '"e1"'}, 206),
    ({"range": "bytes=0-1", "if_range": 'W/"e1"'}, 200),
    ({"range": "bytes=0-1", "if_range": '"x"'}, 200),
    ({"range": "bytes=0-1", "if_range": "Sun, 22 Nov 2026 19:51:31 GMT"}, 200),
    ({"range": "bytes=9999-", "if_range": '"x"'}, 200),
    ({"if_range": '"e1"'}, 200),
    ({"range": "bytes=0-1,5-6"}, 200),
    ({"range": "junk"}, 200),
    ({"accept_encoding": "gzip"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), CONDITIONS)
def test_object_keeps_conditions(headers: dict[str, str], status: int) -> None:
    response = segment().respond(get(**headers))
    assert response.status == status
    if status == 304:
        assert response.body == b""
        assert dict(response.headers) == {
            "etag": '"e1"',
            "cache-control": "public, max-age=9",
            **CORS,
        }


def test_playlist_is_compressed_on_request() -> None:
    plain = playlist().respond(get())
    compressed = playlist().respond(get(accept_encoding="br, gzip"))
    assert plain.body == PLAYLIST == gzip.decompress(compressed.body)
    assert dict(plain.headers)["vary"] == dict(compressed.headers)["vary"] == "accept-encoding"
    assert dict(compressed.headers)["content-encoding"] == "gzip"
    assert "content-encoding" not in dict(plain.headers)
    assert dict(compressed.headers)["content-length"] == str(len(compressed.body))
    assert dict(plain.headers)["etag"] != dict(compressed.headers)["etag"]


def test_playlist_variants_have_their_own_conditions() -> None:
    found = playlist()
    assert found.respond(get(if_none_match='"e2"')).status == 304
    assert found.respond(get(if_none_match='"e2-gzip"')).status == 200
    assert found.respond(get(if_none_match='"e2"', accept_encoding="gzip")).status == 200
    unchanged = found.respond(get(if_none_match='"e2-gzip"', accept_encoding="gzip"))
    assert unchanged.status == 304
    assert dict(unchanged.headers)["vary"] == "accept-encoding"


def test_a_range_of_a_playlist_is_not_compressed() -> None:
    response = playlist().respond(get(range="bytes=0-6", accept_encoding="gzip"))
    assert (response.status, response.body) == (206, b"#EXTM3U")
    assert "content-encoding" not in dict(response.headers)


def test_object_counts_all_its_bytes() -> None:
    assert segment().size == len(BODY) + OBJECT_OVERHEAD_BYTES
    compressed = gzip.compress(PLAYLIST, mtime=0)
    assert playlist().size == len(PLAYLIST) + len(compressed) + OBJECT_OVERHEAD_BYTES


def test_what_is_not_fresh_any_more_is_a_miss_that_brings_it_along() -> None:
    subject, kept = core(), segment()
    kept.fresh_until_s = NOW_S
    subject.objects.put(KEY, kept, kept.size, NOW_S + 1000)
    missed = subject.respond(get(), NOW_S)
    assert isinstance(missed, Miss)
    assert missed.kept is kept
    kept.fresh_until_s = NOW_S + 1
    assert answer(subject, get()).body == BODY
    assert (subject.objects.hits, subject.not_fresh) == (2, 1)


def test_what_turned_out_to_be_missing_is_not_kept() -> None:
    subject, kept = core(), segment()
    kept.fresh_until_s = 0
    subject.objects.put(KEY, kept, kept.size, NOW_S + 1000)
    assert subject.remember_missing(KEY, NOW_S).status == 404
    assert subject.objects.peek(KEY) is None
    assert answer(subject, get()).status == 404


def test_path_beside_the_objects_is_a_miss_and_no_refusal() -> None:
    subject = Core(TokenVerifier(KEYS.by_kid()), 1 << 20, 1 << 17, beside=["/health"])
    for path, is_miss in (("/health", True), ("/health/", False), ("/healt", False)):
        answered = subject.respond(get(path), NOW_S)
        assert isinstance(answered, Miss) is is_miss
    assert subject.refusals == 2
