"""The rules by which CloudFront treats what an origin answers, and what this origin answers so that
they do no harm. Asked as CloudFront asks: without a token, with the secret, with its own headers.

Rules are of the Amazon CloudFront Developer Guide: "Request and response behavior for custom
origins", "Manage how long content stays in the cache (expiration)", "Serve compressed files",
"How CloudFront processes HTTP 4xx and 5xx status codes", "Origin Shield".
"""

import asyncio
import gzip
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.server.origin.process import SECRETS
from tests.server.origin.served import FINAL, SEGMENT, Answer, Server, put, serving

MAX_HEAD_BYTES = 20_480  # of a request and of an answer
COMPRESSIBLE_BYTES = range(1_000, 10_000_001)
ETAG = '"@etag@"'  # in the table: that of the object asked for

AS_CLOUDFRONT = {
    "X-Origin-Verify": SECRETS[0],
    "User-Agent": "Amazon CloudFront",
    "Via": "1.1 8f22423015641505b8c857a37450d6c0.cloudfront.net (CloudFront)",
    "X-Amz-Cf-Id": "SnYH0ZhBxyZ8TjVE9sZKzqXrJ1vdZt0vVtXxRmbfV4MU6Fkd5mM1Xg==",
    "X-Forwarded-For": "203.0.113.7",
    "Connection": "Keep-Alive",
}
PLAYLIST = "/v/m1/1/index.m3u8"
GROWING = "/v/m1/1/growing.m3u8"
SEGMENT_PATH = "/v/m1/1/720p/00001-1.m4s"
FINAL_LIFE = "public, max-age=60, s-maxage=86400, stale-while-revalidate=300, stale-if-error=86400"


@dataclass(frozen=True)
class Row:
    rule: str
    path: str
    status: int
    has: dict[str, str | None] = field(default_factory=dict)  # None: not there
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None


TABLE = [
    Row(
        "what never changes is kept as long as a cache policy allows",
        SEGMENT_PATH,
        200,
        {"cache-control": "public, max-age=31536000, immutable"},
    ),
    Row(
        "s-maxage goes before max-age: a final playlist stays at the edges, not in players; "
        "stale-while-revalidate and stale-if-error are kept",
        PLAYLIST,
        200,
        {"cache-control": FINAL_LIFE},
    ),
    Row(
        "an answer without a life is cached for a day by default: a growing one says a second",
        GROWING,
        200,
        {"cache-control": "public, max-age=1, s-maxage=1"},
    ),
    Row(
        "a 404 is cached for the longer of its max-age and the error caching minimum TTL",
        "/v/m1/1/none.m3u8",
        404,
        {"cache-control": "public, max-age=1"},
    ),
    Row(
        "a 403 is cached when it has a max-age, and then refuses whoever comes next",
        SEGMENT_PATH,
        403,
        {"cache-control": "no-store"},
        {"X-Origin-Verify": "wrong"},
    ),
    Row(
        "a 405 is cached when it has a max-age",
        SEGMENT_PATH,
        405,
        {"cache-control": "no-store", "allow": "GET, HEAD, OPTIONS"},
        method="DELETE",
    ),
    Row(
        "a 5xx is cached for the error caching minimum TTL whatever it says, unless there is an "
        "expired copy; Retry-After is passed on",
        "/v/m1/1/720p/unavailable.m4s",
        503,
        {"cache-control": "no-store", "retry-after": "1"},
    ),
    Row(
        "an object that it has compressed has a weak ETag when it revalidates",
        PLAYLIST,
        304,
        {"content-length": None, "cache-control": FINAL_LIFE, "vary": "accept-encoding"},
        {"If-None-Match": f"W/{ETAG}"},
    ),
    Row(
        "a 304 renews an object and replaces its Cache-Control",
        SEGMENT_PATH,
        304,
        {"cache-control": "public, max-age=31536000, immutable", "etag": ETAG},
        {"If-None-Match": ETAG},
    ),
    Row(
        "it may ask for a part, or more than the viewer asked for",
        SEGMENT_PATH,
        206,
        {"content-range": "bytes 0-1023/2048", "accept-ranges": "bytes"},
        {"Range": "bytes=0-1023"},
        body=SEGMENT[:1024],
    ),
    Row(
        "parts are put together only as long as the ETag stays: If-Range",
        SEGMENT_PATH,
        206,
        {"content-range": "bytes 1024-2047/2048", "etag": ETAG},
        {"Range": "bytes=1024-", "If-Range": ETAG},
        body=SEGMENT[1024:],
    ),
    Row(
        "If-Range with another ETag, or a weak one, gets the whole object",
        SEGMENT_PATH,
        200,
        {"content-range": None},
        {"Range": "bytes=1024-", "If-Range": f"W/{ETAG}"},
        body=SEGMENT,
    ),
    Row(
        "several parts at once are answered by the whole object, as it does itself",
        SEGMENT_PATH,
        200,
        {"content-range": None},
        {"Range": "bytes=0-1,4-5"},
        body=SEGMENT,
    ),
    Row(
        "a 416 is never cached: a part outside says so for this request alone",
        SEGMENT_PATH,
        416,
        {"content-range": "bytes */2048", "cache-control": "no-store"},
        {"Range": "bytes=2048-"},
    ),
    Row(
        "with a cache policy for gzip it asks with gzip, keeps what comes compressed as another "
        "object, and leaves it as it is; brotli counts as gzip",
        PLAYLIST,
        200,
        {"content-encoding": "gzip", "vary": "accept-encoding"},
        {"Accept-Encoding": "br,gzip"},
        body=gzip.compress(FINAL, 6, mtime=0),
    ),
    Row(
        "without one it sends no Accept-Encoding",
        PLAYLIST,
        200,
        {"content-encoding": None},
        body=FINAL,
    ),
    Row(
        "a segment is one object whatever Accept-Encoding says: nothing of it varies",
        SEGMENT_PATH,
        200,
        {"content-encoding": None, "vary": None},
        {"Accept-Encoding": "br,gzip"},
        body=SEGMENT,
    ),
    Row(
        "what forwards Origin has it in the cache key: the answer is the same for all pages",
        SEGMENT_PATH,
        200,
        {"access-control-allow-origin": "*", "vary": None},
        {"Origin": "https://studio.example"},
    ),
    Row(
        "a viewer's cookies are not for the origin: with or without, the same answer",
        SEGMENT_PATH,
        200,
        {"set-cookie": None},
        {"Cookie": "session=1"},
    ),
    Row(
        "HEAD is cached apart from GET and has to say the same",
        PLAYLIST,
        200,
        {"content-length": str(len(FINAL)), "cache-control": FINAL_LIFE},
        method="HEAD",
        body=b"",
    ),
    Row(
        "a query that the cache key leaves out may still be forwarded: it changes nothing",
        f"{PLAYLIST}?CMCD=br%3D3200&Policy=x",
        200,
        body=FINAL,
    ),
    Row(
        "a preflight may be cached with OPTIONS among the cached methods",
        SEGMENT_PATH,
        204,
        {
            "access-control-allow-methods": "GET, HEAD, OPTIONS",
            "cache-control": "public, max-age=86400",
        },
        {"Origin": "https://studio.example", "Access-Control-Request-Method": "GET"},
        method="OPTIONS",
    ),
    Row(
        "a request head has up to 20,480 bytes",
        PLAYLIST,
        200,
        headers={"CloudFront-Viewer-Address": "x" * 19_500},
        body=FINAL,
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=[row.rule for row in TABLE])
def test_origin_answers_by_cloudfronts_rules(server: Server, row: Row) -> None:
    etag = server.ask(row.path, AS_CLOUDFRONT).headers.get("etag", "")
    headers = {name: value.replace(ETAG, etag) for name, value in row.headers.items()}
    answer = server.ask(row.path, {**AS_CLOUDFRONT, **headers}, row.method)
    assert answer.status == row.status
    for name, expected in row.has.items():
        assert answer.headers.get(name) == (expected and expected.replace(ETAG, etag)), name
    assert row.body is None or answer.body == row.body
    check_always(answer, row.method)


def check_always(answer: Answer, method: str) -> None:
    """What has to be so whatever is answered."""
    fields = answer.headers
    assert sum(len(f"{name}: {value}\r\n") for name, value in fields.items()) < MAX_HEAD_BYTES
    # Objects without a length are not compressed, and a cut one may be kept.
    assert "transfer-encoding" not in fields
    if answer.status not in (204, 304) and method != "HEAD":
        assert fields["content-length"] == str(len(answer.body))
    # A header that a cache policy does not name is taken out of Vary, but `Vary: *` is not.
    assert fields.get("vary", "accept-encoding") == "accept-encoding"
    # Cached with the object and sent to every viewer.
    assert "set-cookie" not in fields
    # Older ways to say a life, and one that would be counted twice at the shield.
    assert not {"expires", "pragma", "age", "last-modified"} & set(fields)
    assert "cache-control" in fields
    assert fields["access-control-allow-origin"] == "*"


def test_playlists_are_of_a_type_and_size_that_is_compressed(server: Server) -> None:
    server.store("long.m3u8", FINAL * 10)
    answer = server.ask("/v/m1/1/long.m3u8", AS_CLOUDFRONT)
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert int(answer.headers["content-length"]) in COMPRESSIBLE_BYTES


def test_every_origin_tells_the_same_etag(server: Server, tmp_path: Path) -> None:
    """The shield goes to any of them, at any time, for the parts of one object."""
    name = "720p/00003-0123456789abcdef.m4s"
    server.store(name, SEGMENT)
    asyncio.run(put(tmp_path, {name: SEGMENT}))
    with serving("http1", tmp_path) as other:
        answers = [each.ask(f"/v/m1/1/{name}", AS_CLOUDFRONT) for each in (server, other)]
    assert answers[0].status == 200
    assert len({answer.headers["etag"] for answer in answers}) == 1
