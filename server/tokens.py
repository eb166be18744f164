"""Playback tokens: who issues them, with which keys. Verifying is native/token.pyx.

A token is a CWT (RFC 8392, COSE_Mac0 with HMAC-SHA-256) whose `catu` claim (CTA-5007) opens every
path below one title, in base64url without padding. It stands in the path, so that the relative
URIs of a playlist inherit it in every player.
"""

import base64
import binascii
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cbor2
from cwt import COSE, COSEKey

from media.keys import INDEX, media_prefix, package_prefix
from media.settings import SigningSettings
from native.token import MAX_TOKEN_CHARACTERS

KEYS_FILE = "keys.json"
MIN_SECRET_BYTES = 32  # RFC 2104: as long as the hash's output
SESSION_ID_BYTES = 16

_KID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_KID_BYTES = 2  # of randomness in a kid that we make

# RFC 9052 section 3.1, RFC 8392 section 4, CTA-5007
_ALG, _KID_LABEL = 1, 4
_HMAC_256_256 = 5
_EXP, _CTI, _CATV, _CATU = 4, 7, 310, 312
_CATU_PATH, _MATCH_PREFIX = 3, 1


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """kid -> secret. The first signs, all verify: to rotate, put a new one first and drop the
    old one when the last token it signed has expired."""

    secrets: dict[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("at least one signing key is needed")
        for kid, secret in self.secrets.items():
            if not _KID.fullmatch(kid):
                raise ValueError(
                    f"key id {kid!r}: expected 1 to 16 letters, digits, hyphens or underscores"
                )
            if len(secret) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"key {kid!r}: expected at least {MIN_SECRET_BYTES} bytes, got {len(secret)}"
                )

    def by_kid(self) -> dict[bytes, bytes]:
        """As the token carries it."""
        return {kid.encode(): secret for kid, secret in self.secrets.items()}


def load_keys(signing: SigningSettings, data_dir: Path) -> TokenKeys:
    """The configured keys, else the ones in the data directory, made at the first start."""
    if signing.keys:
        return _decode(signing.keys, "signing.keys")
    path = data_dir / KEYS_FILE
    if not path.exists():
        _create(path)
    try:
        stored = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, {error}") from error
    if not isinstance(stored, dict) or not all(isinstance(text, str) for text in stored.values()):
        raise ValueError(f"{path}: expected an object of key ids and base64url secrets")
    return _decode(stored, str(path))


def issue(keys: TokenKeys, media_id: str, expires_at_s: int) -> str:
    return encode(keys, media_id, expires_at_s, secrets.token_bytes(SESSION_ID_BYTES))


def encode(keys: TokenKeys, media_id: str, expires_at_s: int, session_id: bytes) -> str:
    kid, secret = next(iter(keys.secrets.items()))
    claims = {
        _EXP: expires_at_s,
        _CTI: session_id,
        _CATV: 1,
        _CATU: {_CATU_PATH: {_MATCH_PREFIX: f"/{media_prefix(media_id)}"}},
    }
    message: object = COSE().encode_and_mac(
        cbor2.dumps(claims),
        COSEKey.from_symmetric_key(secret, alg="HS256", kid=kid),
        protected={_ALG: _HMAC_256_256, _KID_LABEL: kid.encode()},
    )
    assert isinstance(message, bytes)  # a CBORTag only on demand
    token = base64.urlsafe_b64encode(message).rstrip(b"=").decode("ascii")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise ValueError(f"a token has at most {MAX_TOKEN_CHARACTERS} characters, got {len(token)}")
    return token


def playback_path(token: str, media_id: str, version: str) -> str:
    return f"/t/{token}/{package_prefix(media_id, version)}{INDEX}"


def _decode(encoded: dict[str, str], where: str) -> TokenKeys:
    try:
        return TokenKeys({kid: _decode_secret(kid, text) for kid, text in encoded.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _decode_secret(kid: str, text: str) -> bytes:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"key {kid!r}: expected base64url, {error}") from error


def _create(path: Path) -> None:
    """Whoever links first wins; a second process that starts at once reads the winner's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(MIN_SECRET_BYTES)).rstrip(b"=")
    content = json.dumps({secrets.token_hex(_KID_BYTES): secret.decode("ascii")}).encode() + b"\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
