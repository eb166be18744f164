"""CloudFront's function and the origin must open exactly the same paths, in the engine that
CloudFront uses (njs) and in node."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native.origin import Core, Miss, Request
from native.token import MAX_TOKEN_CHARACTERS, TokenVerifier
from server.tokens import TokenKeys, encode
from tests.native.test_token import CLAIMS, HEADER, SECRETS, base64url, sign, token_of

FUNCTION = Path(__file__).parents[2] / "deployments/cloudfront/viewer-request.js"
IN_NODE = Path(__file__).parent / "viewer_request.mjs"
MAX_FUNCTION_BYTES = 10_240  # CloudFront's quota

MEDIA = "01J9ZT2V7C"
KEY = f"v/{MEDIA}/abc/720p/00007-0123456789abcdef.m4s"
PAST_S, FUTURE_S = 1_000_000_000, 4_000_000_000
KEYS = {kid.decode(): secret for kid, secret in SECRETS.items()}
STORED = {f"key.{kid}": base64url(secret) for kid, secret in KEYS.items()}
VALID = encode(TokenKeys(KEYS), MEDIA, FUTURE_S, bytes(16))
GOOD: dict[int, Any] = {**CLAIMS, 4: FUTURE_S, 312: {3: {1: f"/v/{MEDIA}/"}}}


def signed(claims: dict[int, Any] | bytes, header: dict[int, Any] = HEADER) -> str:
    payload = claims if isinstance(claims, bytes) else cbor2.dumps(claims)
    return base64url(cbor2.dumps(cbor2.CBORTag(17, sign(payload, header))))


def without(claim: int) -> dict[int, Any]:
    return {number: value for number, value in GOOD.items() if number != claim}


TOKENS = {
    "valid": VALID,
    "valid, as a tagged CWT": base64url(
        cbor2.dumps(cbor2.CBORTag(61, cbor2.CBORTag(17, sign(cbor2.dumps(GOOD)))))
    ),
    "valid, rotated key": encode(
        TokenKeys(dict(reversed(KEYS.items()))), MEDIA, FUTURE_S, bytes(16)
    ),
    "valid, every claim": signed(
        {4: FUTURE_S, 5: PAST_S, 6: PAST_S, 7: b"", 310: 1, 312: GOOD[312]}
    ),
    "valid, no session": signed(without(7)),
    "valid, opens everything": signed({**GOOD, 312: {3: {1: "/"}}}),
    "valid, expires beyond 2**53": signed({**GOOD, 4: 2**63 - 1}),
    "expired": encode(TokenKeys(KEYS), MEDIA, PAST_S, bytes(16)),
    "expires at 0": signed({**GOOD, 4: 0}),
    "not yet": signed({4: FUTURE_S, 5: FUTURE_S, 312: GOOD[312]}),
    "expires at 2**63": signed({**GOOD, 4: 2**63}),
    "never expires": signed(without(4)),
    "opens nothing": signed(without(312)),
    "other title": encode(TokenKeys(KEYS), "01J9ZT2V7D", FUTURE_S, bytes(16)),
    "shorter title": encode(TokenKeys(KEYS), MEDIA[:-1], FUTURE_S, bytes(16)),
    "prefix without its slash": signed({**GOOD, 312: {3: {1: f"/v/{MEDIA}"}}}),
    "prefix outside ASCII": signed({**GOOD, 312: {3: {1: "/v/é/"}}}),
    "prefix as bytes": signed({**GOOD, 312: {3: {1: f"/v/{MEDIA}/".encode()}}}),
    "suffix match": signed({**GOOD, 312: {3: {2: f"/v/{MEDIA}/"}}}),
    "unknown claim": signed({**GOOD, 313: ["GET"]}),
    "claim of another version": signed({**GOOD, 310: 2}),
    "claims unsorted": signed({312: GOOD[312], 4: FUTURE_S}),
    "wrong secret": encode(TokenKeys({"k1": bytes(32)}), MEDIA, FUTURE_S, bytes(16)),
    "unknown key": encode(TokenKeys({"k3": bytes(32)}), MEDIA, FUTURE_S, bytes(16)),
    "HMAC 256/64": signed(GOOD, {1: 4, 4: b"k1"}),
    "another header": signed(GOOD, {**HEADER, 16: 61}),
    "trailing byte": signed(cbor2.dumps(GOOD) + b"\0"),
    "padded": VALID + "=",
    "cut": VALID[:-1],
    "other spelling of its last byte": VALID[:-1] + chr(ord(VALID[-1]) + 1),
    "not base64url": VALID[:40] + "+" + VALID[41:],
    "oversized": signed({**GOOD, 7: bytes(MAX_TOKEN_CHARACTERS)}),
    "largest": signed({**GOOD, 7: bytes(640)}),
    "empty": "",
    "not CBOR": "AAAA",
    "valid, unlike ours": token_of(CLAIMS),
}
PATHS = {
    "segment": f"/t/{VALID}/{KEY}",
    "index": f"/t/{VALID}/v/{MEDIA}/abc/index.m3u8",
    "no token": f"/{KEY}",
    "two tokens": f"/t/{VALID}/t/{VALID}/{KEY}",
    "too short": f"/t/{VALID}/v/{MEDIA}/index.m3u8",
    "too deep": f"/t/{VALID}/v/{MEDIA}/a/b/c/d.m4s",
    "ends in a slash": f"/t/{VALID}/v/{MEDIA}/abc/720p/",
    "double slash": f"/t/{VALID}/v/{MEDIA}//abc/init.mp4",
    "parent": f"/t/{VALID}/v/{MEDIA}/../init.mp4",
    "encoded parent": f"/t/{VALID}/v/{MEDIA}/%2e%2e/init.mp4",
    "encoded letter": f"/t/{VALID}/v/{MEDIA}/%61bc/init.mp4",
    "hidden": f"/t/{VALID}/v/{MEDIA}/abc/.init.mp4",
    "outside ASCII": f"/t/{VALID}/v/{MEDIA}/abc/é.mp4",
    "newline": f"/t/{VALID}/v/{MEDIA}/abc/init.mp4\n",
    "longest": f"/t/{VALID}/v/{MEDIA}/abc/{'x' * (255 - len(f'v/{MEDIA}/abc/'))}",
    "longer": f"/t/{VALID}/v/{MEDIA}/abc/{'x' * (256 - len(f'v/{MEDIA}/abc/'))}",
    "source": f"/t/{VALID}/source/{MEDIA}/a/b",
    "root": "/",
    "t": "/t",
    "t and a slash": "/t/",
    "capital": f"/T/{VALID}/{KEY}",
} | {f"token: {name}": f"/t/{token}/{KEY}" for name, token in TOKENS.items()}


def request(path: str, method: str = "GET") -> dict[str, Any]:
    return {
        "method": method,
        "uri": path,
        "querystring": {"CMCD": {"value": "br%3D3200"}},
        "headers": {"host": {"value": "media.example"}},
        "cookies": {},
    }


Run = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(params=["node", "njs"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    (tmp_path / "keys.json").write_text(json.dumps(STORED))
    command: list[str | Path] = ["node", IN_NODE, FUNCTION]
    if request.param == "njs":
        (tmp_path / "cloudfront").write_text(NJS_STORE)
        (tmp_path / "bundle.js").write_text(FUNCTION.read_text() + NJS_DRIVER)
        command = ["njs", "-p", tmp_path, "bundle.js"]

    def runs(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (tmp_path / "requests.json").write_text(json.dumps(requests))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        answers = json.loads((tmp_path / "answers.json").read_text())
        assert isinstance(answers, list)
        return answers

    return runs


NJS_STORE = """
import fs from 'fs';
const stored = JSON.parse(fs.readFileSync('keys.json'));
function get(key) {
    return key in stored ? Promise.resolve(stored[key]) : Promise.reject(new Error('KeyNotFound'));
}
export default { kvs: function() { return { get: get }; } };
"""
NJS_DRIVER = """
import fs from 'fs';
(async function() {
    var answers = [];
    var requests = JSON.parse(fs.readFileSync('requests.json'));
    for (var i = 0; i < requests.length; i++) {
        var result = await handler({ request: requests[i] });
        answers.push(result);
    }
    fs.writeFileSync('answers.json', JSON.stringify(answers));
})();
"""


def origins_key(path: str) -> str | None:
    """What the origin would look up for this path; None if it refuses."""
    core = Core(TokenVerifier(SECRETS), 1 << 20, 1 << 20)
    answer = core.respond(Request("GET", path), time.time())
    return answer.key if isinstance(answer, Miss) else None


def functions_key(answer: dict[str, Any]) -> str | None:
    if answer.get("statusCode") is not None:
        assert answer["statusCode"] == 403
        assert answer["headers"]["cache-control"] == {"value": "no-store"}
        assert answer["headers"]["access-control-allow-origin"] == {"value": "*"}
        return None
    assert answer["querystring"] == {}, "a query would be part of the cache key"
    return str(answer["uri"].removeprefix("/"))


def test_function_opens_what_the_origin_opens(run: Run) -> None:
    answers = run([request(path) for path in PATHS.values()])
    found = dict(zip(PATHS, map(functions_key, answers), strict=True))
    assert found == {name: origins_key(path) for name, path in PATHS.items()}
    opened = {name for name, key in found.items() if key is not None}
    valid = {f"token: {name}" for name in TOKENS if name.startswith(("valid", "largest"))}
    assert opened == {"segment", "index", "longest"} | valid


def test_no_changed_token_opens_anything(run: Run) -> None:
    changed = [
        f"/t/{VALID[:at]}{other}{VALID[at + 1 :]}/{KEY}"
        for at in range(len(VALID))
        for other in ("A", "_")
        if VALID[at] != other
    ]
    assert set(map(functions_key, run([request(path) for path in changed]))) == {None}


@settings(max_examples=20)
@given(tokens=st.lists(st.binary(max_size=60).map(base64url), min_size=20, max_size=50))
def test_function_refuses_garbage_as_the_origin_does(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    (folder / "keys.json").write_text(json.dumps(STORED))
    (folder / "requests.json").write_text(
        json.dumps([request(f"/t/{token}/{KEY}") for token in tokens])
    )
    subprocess.run(["node", IN_NODE, FUNCTION], cwd=folder, timeout=60, check=True)
    answers = json.loads((folder / "answers.json").read_text())
    assert list(map(functions_key, answers)) == [None] * len(tokens)


def test_thousand_viewers_share_one_cache_key(run: Run) -> None:
    keys = TokenKeys(KEYS)
    tokens = [encode(keys, MEDIA, FUTURE_S, n.to_bytes(16)) for n in range(1000)]
    assert len(set(tokens)) == 1000
    answers = run([request(f"/t/{token}/{KEY}") for token in tokens])
    assert {(answer["uri"], str(answer["querystring"])) for answer in answers} == {
        (f"/{KEY}", "{}")
    }


def test_methods_and_preflight(run: Run) -> None:
    methods = ["GET", "HEAD", "OPTIONS", "POST", "DELETE"]
    answers = run([request(PATHS["segment"], method) for method in methods])
    assert [answer.get("statusCode") for answer in answers] == [None, None, 204, 405, 405]
    allowed = answers[2]["headers"]["access-control-allow-methods"]
    assert allowed == {"value": "GET, HEAD, OPTIONS"}


def test_function_fits_into_the_quota() -> None:
    assert FUNCTION.stat().st_size <= MAX_FUNCTION_BYTES
