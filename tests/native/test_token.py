import base64
import binascii
import hmac
import time
from typing import Any

import cbor2
import pytest
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from native.token import MAX_TOKEN_CHARACTERS, TokenVerifier

SECRETS = {b"k1": bytes(range(32)), b"k2": b"\xff" * 40}
NOW_S = 1_900_000_000
EXPIRES_AT_S = 2_000_000_000
PREFIX = "/v/01J9ZT2V7C/"
CLAIMS: dict[int, Any] = {4: EXPIRES_AT_S, 7: b"\1" * 16, 310: 1, 312: {3: {1: PREFIX}}}
HEADER: dict[int, Any] = {1: 5, 4: b"k1"}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(
    claims: bytes, header: dict[int, Any] = HEADER, secret: bytes = SECRETS[b"k1"]
) -> list[Any]:
    protected = cbor2.dumps(header)
    tag = hmac.digest(secret, cbor2.dumps(["MAC0", protected, b"", claims]), "sha256")
    return [protected, {}, claims, tag]


def token_of(claims: dict[int, Any], header: dict[int, Any] = HEADER) -> str:
    return base64url(cbor2.dumps(cbor2.CBORTag(17, sign(cbor2.dumps(claims), header))))


def reference_verify(token: str, now_s: float) -> str | None:
    """The path prefix that the token opens now; slow and obvious, by way of cbor2."""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        message = cbor2.loads(data)
        if len(token) > MAX_TOKEN_CHARACTERS or base64url(data) != token:
            return None
        if cbor2.dumps(message, canonical=True) != data:
            return None
        if isinstance(message, cbor2.CBORTag) and message.tag == 61:
            message = message.value
        return reference_open(message, now_s)
    except (binascii.Error, cbor2.CBORDecodeError, UnicodeEncodeError, ValueError):
        return None


def reference_open(message: object, now_s: float) -> str | None:
    match message:
        case cbor2.CBORTag(
            tag=17, value=[bytes(protected), dict(bare), bytes(payload), bytes(tag)]
        ):
            pass
        case _:
            return None
    header, claims = cbor2.loads(protected), cbor2.loads(payload)
    if bare or header != {1: 5, 4: header.get(4)} or header[4] not in SECRETS:
        return None
    signed = cbor2.dumps(["MAC0", protected, b"", payload])
    if tag != hmac.digest(SECRETS[header[4]], signed, "sha256"):
        return None
    if cbor2.dumps(claims, canonical=True) != payload:
        return None
    return reference_claims(claims, now_s)


def reference_claims(claims: dict[int, Any], now_s: float) -> str | None:
    def is_time(value: object) -> bool:
        return type(value) is int and 0 <= value < 1 << 63

    if not set(claims) <= {4, 5, 6, 7, 310, 312} or 4 not in claims or 312 not in claims:
        return None
    if not all(is_time(claims[number]) for number in {4, 5, 6} & set(claims)):
        return None
    if not isinstance(claims.get(7, b""), bytes) or cbor2.dumps(claims.get(310, 1)) != b"\1":
        return None
    match claims[312]:
        case {3: {1: str(prefix), **more_matches}, **more} if not more_matches and not more:
            if not prefix.isascii() or prefix[:1] != "/" or prefix[-1:] != "/":
                return None
        case _:
            return None
    return prefix if claims.get(5, 0) - 60 <= now_s < claims[4] else None


def verify(token: str, now_s: float = NOW_S) -> str | None:
    grant = TokenVerifier(SECRETS).verify(token, now_s)
    return grant.prefix if grant is not None else None


def test_verifier_opens_what_the_cwt_library_encodes() -> None:
    key = COSEKey.from_symmetric_key(SECRETS[b"k2"], alg="HS256", kid="k2")
    message = COSE().encode_and_mac(cbor2.dumps(CLAIMS), key, protected={1: 5, 4: b"k2"})
    assert isinstance(message, bytes)
    grant = TokenVerifier(SECRETS).verify(base64url(message), NOW_S)
    assert grant is not None
    assert (grant.prefix, grant.expires_at_s, grant.not_before_s) == (PREFIX, EXPIRES_AT_S, 0)


def test_the_cwt_library_opens_what_the_verifier_opens() -> None:
    token = token_of(CLAIMS)
    assert verify(token) == PREFIX
    key = COSEKey.from_symmetric_key(SECRETS[b"k1"], alg="HS256", kid="k1")
    data = base64.urlsafe_b64decode(token + "==")
    assert cbor2.loads(COSE(verify_kid=True).decode(data, [key])) == CLAIMS


def without(claim: int) -> dict[int, Any]:
    return {number: value for number, value in CLAIMS.items() if number != claim}


ACCEPTED: dict[str, dict[int, Any]] = {
    "no cti": without(7),
    "no catv": without(310),
    "nbf and iat": {4: EXPIRES_AT_S, 5: NOW_S, 6: NOW_S, **without(4)},
    "nbf within the skew": {4: EXPIRES_AT_S, 5: NOW_S + 60, **without(4)},
    "exp that needs eight bytes": {**CLAIMS, 4: 1 << 62},
    "another prefix": {**CLAIMS, 312: {3: {1: "/v/"}}},
}
REFUSED: dict[str, dict[int, Any]] = {
    "no exp": without(4),
    "no catu": without(312),
    "expired": {**CLAIMS, 4: NOW_S},
    "exp as float": {**CLAIMS, 4: float(EXPIRES_AT_S)},
    "exp as text": {**CLAIMS, 4: str(EXPIRES_AT_S)},
    "negative exp": {**CLAIMS, 4: -1},
    "exp above 63 bits": {**CLAIMS, 4: 1 << 63},
    "not yet": {4: EXPIRES_AT_S, 5: NOW_S + 61, **without(4)},
    "cti as text": {**CLAIMS, 7: "id"},
    "catv 2": {**CLAIMS, 310: 2},
    "catv true": {**CLAIMS, 310: True},
    "a claim that nobody keeps (catnip)": {**without(312), 311: [b"\x0a"], 312: CLAIMS[312]},
    "an unknown claim": {**CLAIMS, 400: 1},
    "claims out of order": {312: CLAIMS[312], **without(312)},
    "no claims": {},
    "prefix without its slash": {**CLAIMS, 312: {3: {1: "/v/01J9ZT2V7C"}}},
    "relative prefix": {**CLAIMS, 312: {3: {1: "v/01J9ZT2V7C/"}}},
    "empty prefix": {**CLAIMS, 312: {3: {1: ""}}},
    "prefix as bytes": {**CLAIMS, 312: {3: {1: PREFIX.encode()}}},
    "prefix not ASCII": {**CLAIMS, 312: {3: {1: "/v/\u00e9/"}}},
    "exact match": {**CLAIMS, 312: {3: {0: PREFIX}}},
    "two matches": {**CLAIMS, 312: {3: {1: PREFIX, 2: ".m4s"}}},
    "host too": {**CLAIMS, 312: {1: {0: "a.example"}, 3: {1: PREFIX}}},
    "catu as text": {**CLAIMS, 312: PREFIX},
}


@pytest.mark.parametrize("claims", ACCEPTED.values(), ids=ACCEPTED)
def test_verifier_accepts(claims: dict[int, Any]) -> None:
    token = token_of(claims)
    assert verify(token) == reference_verify(token, NOW_S) == claims[312][3][1]


@pytest.mark.parametrize("claims", REFUSED.values(), ids=REFUSED)
def test_verifier_refuses(claims: dict[int, Any]) -> None:
    token = token_of(claims)
    assert verify(token) is None
    assert reference_verify(token, NOW_S) is None


PAYLOAD = cbor2.dumps(CLAIMS)
GOOD = sign(PAYLOAD)
ENVELOPES: dict[str, object] = {
    "no COSE tag": GOOD,
    "COSE_Sign1": cbor2.CBORTag(18, GOOD),
    "CWT tag twice": cbor2.CBORTag(61, cbor2.CBORTag(61, cbor2.CBORTag(17, GOOD))),
    "three parts": cbor2.CBORTag(17, GOOD[:3]),
    "five parts": cbor2.CBORTag(17, [*GOOD, b""]),
    "unprotected header": cbor2.CBORTag(17, [GOOD[0], {4: b"k1"}, *GOOD[2:]]),
    "tag of 8 bytes": cbor2.CBORTag(17, [*GOOD[:3], GOOD[3][:8]]),
    "empty tag": cbor2.CBORTag(17, [*GOOD[:3], b""]),
    "tag off by one bit": cbor2.CBORTag(17, [*GOOD[:3], GOOD[3][:-1] + bytes([GOOD[3][-1] ^ 1])]),
    "alg HMAC 256/64": cbor2.CBORTag(17, sign(PAYLOAD, {1: 4, 4: b"k1"})),
    "no alg": cbor2.CBORTag(17, sign(PAYLOAD, {4: b"k1"})),
    "no kid": cbor2.CBORTag(17, sign(PAYLOAD, {1: 5})),
    "crit": cbor2.CBORTag(17, sign(PAYLOAD, {1: 5, 2: [4], 4: b"k1"})),
    "unknown kid": cbor2.CBORTag(17, sign(PAYLOAD, {1: 5, 4: b"k3"})),
    "kid of another key": cbor2.CBORTag(17, sign(PAYLOAD, {1: 5, 4: b"k2"})),
    "text for bytes": cbor2.CBORTag(17, [*GOOD[:2], "x", GOOD[3]]),
    "payload not a map": cbor2.CBORTag(17, sign(b"\x01")),
    "payload with a tail": cbor2.CBORTag(17, sign(PAYLOAD + b"\x00")),
    "payload cut": cbor2.CBORTag(17, sign(PAYLOAD[:-1])),
    "exp twice": cbor2.CBORTag(17, sign(b"\xa5\x04\x1a\x77\x35\x94\x00" + PAYLOAD[1:])),
    "exp longer than needed": cbor2.CBORTag(
        17, sign(PAYLOAD.replace(b"\x04\x1a", b"\x04\x1b\0\0\0\0"))
    ),
    "endless map": cbor2.CBORTag(17, sign(b"\xbf" + PAYLOAD[1:] + b"\xff")),
    "map of 2**63": cbor2.CBORTag(17, sign(b"\xbb\x80" + bytes(7) + PAYLOAD[1:])),
}


@pytest.mark.parametrize("message", ENVELOPES.values(), ids=ENVELOPES)
def test_verifier_refuses_other_envelopes(message: object) -> None:
    assert verify(base64url(cbor2.dumps(message))) is None


@pytest.mark.parametrize("length", [1 << 10, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("start", [b"\xd1\x84", b"\xd1\x84\x40\xa0", b"\xd1\x84\x40\xa0\x40"])
def test_verifier_reads_no_string_beyond_the_token(start: bytes, length: int) -> None:
    assert verify(base64url(start + b"\x5b" + length.to_bytes(8, "big") + bytes(99))) is None


def test_verifier_accepts_the_cwt_tag() -> None:
    assert verify(base64url(cbor2.dumps(cbor2.CBORTag(61, cbor2.CBORTag(17, GOOD))))) == PREFIX


def test_verifier_reads_only_canonical_base64url() -> None:
    token = token_of({**CLAIMS, 7: b"\1" * 15})
    assert len(token) % 4
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(token[-1])
    sibling = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last | 1]
    assert verify(token) == PREFIX
    for other in [token + "=", token + "A", token[:-1], token[:-1] + sibling, " " + token, ""]:
        assert verify(other) is None


def test_verifier_bounds_the_length() -> None:
    def padded(prefix_characters: int) -> str:
        return token_of({**CLAIMS, 312: {3: {1: "/" + "a" * (prefix_characters - 2) + "/"}}})

    longest = max(n for n in range(600, 720) if len(padded(n)) <= MAX_TOKEN_CHARACTERS)
    assert verify(padded(longest)) is not None
    assert verify(padded(longest + 4)) is None
    assert verify("A" * 10_000_000) is None


def test_verifier_knows_a_verified_token_until_it_expires() -> None:
    verifier = TokenVerifier(SECRETS)
    token = token_of(CLAIMS)
    seen = [verifier.verify(token, now_s) for now_s in (NOW_S, NOW_S, EXPIRES_AT_S - 0.001)]
    assert all(grant is not None for grant in seen)
    assert seen[1] is seen[0]
    assert verifier.verify(token, EXPIRES_AT_S) is None
    assert verifier.verify(token, NOW_S) is not None


def test_verifier_keeps_a_bounded_number_of_tokens() -> None:
    verifier = TokenVerifier(SECRETS)
    first = token_of(CLAIMS)
    grant = verifier.verify(first, NOW_S)
    for number in range(20_000):
        claims = cbor2.dumps({**CLAIMS, 7: number.to_bytes(16, "big")})
        verifier.verify(base64url(cbor2.dumps(cbor2.CBORTag(17, sign(claims)))), NOW_S)
    again = verifier.verify(first, NOW_S)
    assert again is not None
    assert again is not grant


def test_verifier_needs_a_key() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        TokenVerifier({})


times = st.integers(-5, 5).map(lambda delta: NOW_S + delta) | st.integers(0, 1 << 64)
claims_of_any_kind = st.fixed_dictionaries(
    {},
    optional={
        4: times | st.floats() | st.text(),
        5: times | st.none(),
        6: times | st.booleans(),
        7: st.binary(max_size=20) | st.text(max_size=3),
        310: st.sampled_from([0, 1, 1.0, True, 2]),
        311: st.lists(st.binary(max_size=2), max_size=2),
        312: st.dictionaries(
            st.sampled_from([1, 3]),
            st.dictionaries(st.sampled_from([0, 1]), st.text("/v.a\u00e9", max_size=6)),
        ),
    },
)


@given(claims_of_any_kind, st.sampled_from([b"k1", b"k2", b"k3", b""]))
def test_verifier_agrees_with_the_reference_on_signed_claims(
    claims: dict[int, Any], kid: bytes
) -> None:
    header = {1: 5, 4: kid}
    message = sign(cbor2.dumps(claims), header, SECRETS.get(kid, b"x" * 32))
    token = base64url(cbor2.dumps(cbor2.CBORTag(17, message)))
    assert verify(token) == reference_verify(token, NOW_S)


@given(st.data())
def test_verifier_agrees_with_the_reference_on_signed_mutations(data: st.DataObject) -> None:
    payload = bytearray(PAYLOAD)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    token = base64url(cbor2.dumps(cbor2.CBORTag(17, sign(bytes(payload)))))
    try:
        expected = reference_verify(token, NOW_S)
    except (TypeError, AttributeError, RecursionError):  # CBOR that is no map of claims
        expected = None
    assert verify(token) == expected


GOOD_MESSAGE = cbor2.dumps(cbor2.CBORTag(17, GOOD))


@given(st.integers(0, len(GOOD_MESSAGE) - 1), st.integers(1, 255))
def test_verifier_refuses_any_changed_byte(position: int, change: int) -> None:
    data = bytearray(GOOD_MESSAGE)
    data[position] ^= change
    assert verify(base64url(bytes(data))) is None


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: GOOD_MESSAGE[:9] + tail))
def test_verifier_refuses_any_bytes(data: bytes) -> None:
    assert verify(base64url(data)) is None


@given(st.text())
def test_verifier_refuses_any_text(token: str) -> None:
    assert verify(token, time.time()) is None
