import asyncio
import gzip

import pytest

from tests.server.origin.served import (
    CORS,
    FINAL,
    GROWING,
    LARGE,
    OBJECTS,
    SEGMENT,
    Server,
    fetch,
    path_of,
    wait_until,
)

KINDS = [
    (
        "index.m3u8",
        "application/vnd.apple.mpegurl",
        "public, max-age=60, s-maxage=86400, stale-while-revalidate=300, stale-if-error=86400",
    ),
    ("growing.m3u8", "application/vnd.apple.mpegurl", "public, max-age=1, s-maxage=1"),
    ("720p/init-1.mp4", "video/mp4", "public, max-age=31536000, immutable"),
    ("720p/00001-1.m4s", "video/iso.segment", "public, max-age=31536000, immutable"),
]


@pytest.mark.parametrize(("name", "content_type", "cache_control"), KINDS)
def test_origin_serves_each_kind(
    server: Server, name: str, content_type: str, cache_control: str
) -> None:
    for _ in range(2):  # read, then from the cache
        answer = server.ask(path_of(name))
        assert (answer.status, answer.body) == (200, OBJECTS[name])
        assert answer.headers["content-type"] == content_type
        assert answer.headers["cache-control"] == cache_control
        assert answer.headers["content-length"] == str(len(OBJECTS[name]))
        assert answer.headers["accept-ranges"] == "bytes"
        assert CORS.items() <= answer.headers.items()


def test_origin_reads_a_segment_once(server: Server) -> None:
    path = server.store("720p/once.m4s", b"once")
    assert [server.ask(path).status for _ in range(5)] == [200] * 5
    assert server.reads("720p/once.m4s") == 1


def test_origin_ignores_the_query(server: Server) -> None:
    answer = server.ask(path_of("index.m3u8") + "?_HLS_msn=3&_HLS_part=1&_HLS_skip=YES")
    assert (answer.status, answer.body) == (200, FINAL)


def test_origin_passes_on_what_is_too_large_to_keep(server: Server) -> None:
    before = server.reads("720p/00002-2.m4s")
    for _ in range(2):
        assert server.ask(path_of("720p/00002-2.m4s")).body == LARGE
    assert server.reads("720p/00002-2.m4s") == before + 2


def test_origin_answers_a_growing_playlist_anew_after_a_second(server: Server) -> None:
    path = server.store("grows.m3u8", GROWING)
    assert server.ask(path).body == GROWING
    server.store("grows.m3u8", FINAL)
    wait_until(lambda: server.ask(path).body == FINAL, "the new playlist")


def test_origin_answers_head_without_a_body(server: Server) -> None:
    path = server.store("720p/head.m4s", SEGMENT)
    for _ in range(2):
        head = f"HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        answer, _, body = server.send(head).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"content-length: 2048" in answer.lower()
        assert body == b""


RANGES = [
    ("bytes=0-0", 206, "bytes 0-0/2048", SEGMENT[:1]),
    ("bytes=100-199", 206, "bytes 100-199/2048", SEGMENT[100:200]),
    ("bytes=2000-", 206, "bytes 2000-2047/2048", SEGMENT[2000:]),
    ("bytes=-48", 206, "bytes 2000-2047/2048", SEGMENT[2000:]),
    ("bytes=0-99999", 206, "bytes 0-2047/2048", SEGMENT),
    ("bytes=2048-", 416, "bytes */2048", None),
    ("bytes=-0", 416, "bytes */2048", None),
    ("bytes=0-1,4-5", 200, None, SEGMENT),
    ("bytes=5-1", 200, None, SEGMENT),
    ("lines=0-1", 200, None, SEGMENT),
]


@pytest.mark.parametrize(("value", "status", "content_range", "body"), RANGES)
def test_origin_answers_ranges(
    server: Server, value: str, status: int, content_range: str | None, body: bytes | None
) -> None:
    answer = server.ask(path_of("720p/00001-1.m4s"), {"Range": value})
    assert (answer.status, answer.headers.get("content-range")) == (status, content_range)
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "transfer-encoding" not in answer.headers
    assert body is None or answer.body == body


def test_origin_answers_a_range_of_a_cold_object(server: Server) -> None:
    path = server.store("720p/cold.m4s", SEGMENT)
    assert server.ask(path, {"Range": "bytes=1-3"}).body == SEGMENT[1:4]


def test_origin_takes_the_first_of_two_range_headers(server: Server) -> None:
    head = f"GET {path_of('720p/00001-1.m4s')} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    answer = server.send(f"{head}Range: bytes=1-3\r\nRange: bytes=5-6\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 206 ")
    assert answer.endswith(b"\r\n\r\n" + SEGMENT[1:4])


def test_origin_keeps_conditions(server: Server) -> None:
    path = path_of("720p/00001-1.m4s")
    etag = server.ask(path).headers["etag"]
    assert etag[0] == etag[-1] == '"'
    table = [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f"W/{etag}"}, 304),
        ({"If-None-Match": f'"x", {etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": etag, "Range": "bytes=0-1"}, 304),
        ({"If-Range": etag, "Range": "bytes=0-1"}, 206),
        ({"If-Range": f"W/{etag}", "Range": "bytes=0-1"}, 200),
        ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
    ]
    for headers, status in table:
        answer = server.ask(path, headers)
        assert answer.status == status, headers
        assert answer.headers["etag"] == etag
        assert (answer.body == b"") == (status == 304)
        assert CORS.items() <= answer.headers.items()


def test_origin_compresses_playlists_on_request(server: Server) -> None:
    path = path_of("index.m3u8")
    answer = server.ask(path, {"Accept-Encoding": "br, gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert gzip.decompress(answer.body) == FINAL
    for refusal in ("gzip;q=0", "identity", "*;q=0", ""):
        plain = server.ask(path, {"Accept-Encoding": refusal})
        assert ("content-encoding" in plain.headers, plain.body) == (False, FINAL)
        assert plain.headers["vary"] == "accept-encoding"
    segment = server.ask(path_of("720p/00001-1.m4s"), {"Accept-Encoding": "gzip"})
    assert not {"vary", "content-encoding"} & set(segment.headers)


def test_origin_answers_a_preflight(server: Server) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Headers": "range"}
    answer = server.ask(path_of("index.m3u8"), asked, "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert "range" in answer.headers["access-control-allow-headers"]
    assert CORS.items() <= answer.headers.items()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_origin_knows_no_other_methods(server: Server, method: str) -> None:
    answer = server.ask(path_of("index.m3u8"), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_origin_says_that_an_object_is_missing(server: Server) -> None:
    before = server.reads("nothing.m3u8")
    for _ in range(3):
        answer = server.ask(path_of("nothing.m3u8"))
        assert (answer.status, answer.headers["cache-control"]) == (404, "public, max-age=1")
        assert CORS.items() <= answer.headers.items()
    assert server.reads("nothing.m3u8") - before <= 2  # asked again after a second
    server.store("nothing.m3u8", FINAL)
    wait_until(lambda: server.ask(path_of("nothing.m3u8")).status == 200, "the new object")


def test_origin_publishes_no_other_kinds(server: Server) -> None:
    assert server.ask(path_of("720p/secret.txt")).status == 404
    assert server.reads("720p/secret.txt") == 0


def test_origin_says_that_the_store_is_away(server: Server) -> None:
    for _ in range(2):
        answer = server.ask(path_of("720p/unavailable.m4s"))
        assert (answer.status, answer.headers["cache-control"]) == (503, "no-store")
        assert answer.headers["retry-after"] == "1"
        assert CORS.items() <= answer.headers.items()
    assert server.ask(path_of("720p/unavailable.m4s"), method="HEAD").body == b""


def test_a_hundred_requests_for_a_cold_object_read_it_once(server: Server) -> None:
    path = server.store("720p/wanted.m4s", SEGMENT)

    async def ask_at_once() -> list[bytes]:
        with server.holding():
            asking = [asyncio.create_task(fetch(server.port, path)) for _ in range(100)]
            await asyncio.to_thread(wait_until, lambda: server.reads("720p/wanted.m4s"), "a read")
            refused = await asyncio.gather(*(fetch(server.port, "/t/") for _ in range(100)))
            assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in refused)
            assert not any(task.done() for task in asking)
        return await asyncio.gather(*asking)

    answers = asyncio.run(ask_at_once())
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(answer.endswith(SEGMENT) for answer in answers)
    assert server.reads("720p/wanted.m4s") == 1


def test_a_client_that_leaves_takes_nothing_from_the_others(server: Server) -> None:
    path = server.store("720p/left.m4s", SEGMENT)

    async def leave_and_ask() -> bytes:
        with server.holding():
            _, first = await asyncio.open_connection("127.0.0.1", server.port)
            first.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await asyncio.to_thread(wait_until, lambda: server.reads("720p/left.m4s"), "a read")
            second = asyncio.create_task(fetch(server.port, path))
            first.transport.abort()
            assert (await fetch(server.port, "/t/")).startswith(b"HTTP/1.1 403 ")
        return await second

    assert asyncio.run(leave_and_ask()).endswith(SEGMENT)
    assert server.ask(path).body == SEGMENT
    assert server.reads("720p/left.m4s") == 1
