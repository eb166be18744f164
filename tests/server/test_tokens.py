import base64
import json
import multiprocessing
import stat
from pathlib import Path

import cbor2
import pytest
from cwt import COSE, COSEKey

from media.settings import SigningSettings
from native.token import TokenVerifier
from server.tokens import TokenKeys, encode, issue, load_keys, playback_path

FIRST = bytes(range(32))
SECOND = b"\xff" * 40
KEYS = TokenKeys({"k1": FIRST, "k2": SECOND})
NOW_S = 1_900_000_000
EXPIRES_AT_S = 2_000_000_000

# The exact bytes, for every other program that verifies or issues our tokens.
GOLDEN = [
    (
        TokenKeys({"k1": FIRST}),
        "01J9ZT2V7C",
        EXPIRES_AT_S,
        bytes(range(16)),
        "0YRHogEFBEJrMaBYM6QEGnc1lAAHUAABAgMEBQYHCAkKCwwNDg8ZATYBGQE4oQOhAW"
        "4vdi8wMUo5WlQyVjdDL1gg6Bcs1lRHQJhylonJ8rMQ6j7aIx2hjLKYh7UEwMtVNW4",
    ),
    (
        TokenKeys({"2026-11": SECOND}),
        "m",
        1 << 32,
        bytes(16),
        "0YRMogEFBEcyMDI2LTExoFgupAQbAAAAAQAAAAAHUAAAAAAAAAAAAAAAAAAAAAAZAT"
        "YBGQE4oQOhAWUvdi9tL1ggXXbZOJKJHVbQXS6fS5Nr_IQZWl-8POMXfkA5Sn2g91Q",
    ),
]


@pytest.mark.parametrize(("keys", "media_id", "expires_at_s", "session_id", "token"), GOLDEN)
def test_encode_writes_the_golden_token(
    keys: TokenKeys, media_id: str, expires_at_s: int, session_id: bytes, token: str
) -> None:
    assert encode(keys, media_id, expires_at_s, session_id) == token
    grant = TokenVerifier(keys.by_kid()).verify(token, NOW_S)
    assert grant is not None
    assert (grant.prefix, grant.expires_at_s) == (f"/v/{media_id}/", expires_at_s)


def test_issue_writes_the_claims_of_the_common_access_token() -> None:
    token = issue(KEYS, "01J9ZT2V7C", EXPIRES_AT_S)
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    message = cbor2.loads(data)
    assert message.tag == 17
    assert cbor2.loads(message.value[0]) == {1: 5, 4: b"k1"}
    key = COSEKey.from_symmetric_key(FIRST, alg="HS256", kid="k1")
    claims = cbor2.loads(COSE(verify_kid=True).decode(data, [key]))
    session_id = claims.pop(7)
    assert len(session_id) == 16
    assert claims == {4: EXPIRES_AT_S, 310: 1, 312: {3: {1: "/v/01J9ZT2V7C/"}}}


def test_issue_gives_every_session_its_own_token() -> None:
    assert issue(KEYS, "m", EXPIRES_AT_S) != issue(KEYS, "m", EXPIRES_AT_S)


def test_issue_refuses_a_title_that_makes_the_token_too_long() -> None:
    with pytest.raises(ValueError, match="at most 1024 characters"):
        issue(KEYS, "m" * 700, EXPIRES_AT_S)


def test_rotation_keeps_old_tokens_until_their_key_goes() -> None:
    old, new = ("old", FIRST), ("new", SECOND)
    before = issue(TokenKeys(dict([old])), "m", EXPIRES_AT_S)
    rotated = TokenKeys(dict([new, old]))
    after = issue(rotated, "m", EXPIRES_AT_S)
    for keys, opened in [
        (rotated, [True, True]),
        (TokenKeys(dict([old])), [True, False]),
        (TokenKeys(dict([new])), [False, True]),
    ]:
        verifier = TokenVerifier(keys.by_kid())
        grants = [verifier.verify(token, NOW_S) for token in (before, after)]
        assert [grant is not None for grant in grants] == opened


def test_playback_path_is_the_multivariant_playlist_behind_the_token() -> None:
    assert playback_path("abc", "m", "v1") == "/t/abc/v/m/v1/index.m3u8"


def encoded(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def test_load_keys_reads_the_settings_in_order(tmp_path: Path) -> None:
    signing = SigningSettings(keys={"b": encoded(SECOND), "a": encoded(FIRST) + "="})
    keys = load_keys(signing, tmp_path)
    assert list(keys.secrets.items()) == [("b", SECOND), ("a", FIRST)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kid", "secret", "message"),
    [
        ("a", "c2hvcnQ", r"signing\.keys: key 'a': expected at least 32 bytes, got 5"),
        ("a", "not base64!", r"signing\.keys: key 'a': expected base64url"),
        ("a", "", r"signing\.keys: key 'a': expected at least 32 bytes, got 0"),
        ("a b", encoded(FIRST), r"signing\.keys: key id 'a b': expected 1 to 16 letters"),
        ("", encoded(FIRST), r"signing\.keys: key id '': expected 1 to 16 letters"),
        ("a" * 17, encoded(FIRST), "expected 1 to 16 letters"),
    ],
)
def test_load_keys_says_what_is_wrong_with_a_key(
    kid: str, secret: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        load_keys(SigningSettings(keys={kid: secret}), tmp_path)


def test_load_keys_makes_a_key_once_and_keeps_it_private(tmp_path: Path) -> None:
    data_dir = tmp_path / "made" / "too"
    keys = load_keys(SigningSettings(), data_dir)
    assert load_keys(SigningSettings(), data_dir) == keys
    assert [path.name for path in data_dir.iterdir()] == ["keys.json"]
    assert stat.S_IMODE((data_dir / "keys.json").stat().st_mode) == 0o600
    assert load_keys(SigningSettings(), tmp_path) != keys


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"keys\.json: expected JSON"),
        ("\udcff", r"keys\.json: expected JSON"),
        ("[]", r"keys\.json: expected an object"),
        ('{"a": 1}', r"keys\.json: expected an object"),
        ("{}", r"keys\.json: at least one signing key"),
        ('{"a": "AAAA"}', r"keys\.json: key 'a': expected at least 32 bytes, got 3"),
    ],
)
def test_load_keys_says_what_is_wrong_with_the_file(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        load_keys(SigningSettings(), tmp_path)


def load_in_child(data_dir: Path) -> dict[str, bytes]:
    return load_keys(SigningSettings(), data_dir).secrets


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        loaded = pool.map(load_in_child, [tmp_path / str(n // 4) for n in range(40)], chunksize=1)
        pool.close()
        pool.join()
    for first in range(0, 40, 4):
        assert loaded[first : first + 4] == [loaded[first]] * 4
    assert all(len(list(folder.iterdir())) == 1 for folder in tmp_path.iterdir())


def test_keys_do_not_show_in_logs() -> None:
    assert FIRST.hex() not in repr(KEYS)
    assert repr(FIRST) not in repr(KEYS)
    assert json.dumps(encoded(FIRST)) not in repr(KEYS)
