import base64
import json
from urllib.parse import quote

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import SecretStr

from media.settings import SigningSettings
from server.cloudfront import CloudFrontKey, load_cloudfront_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
RESOURCE = "https://d111111abcdef8.cloudfront.net/v/0197f3/*"
EXPIRES_AT_S = 2_000_000_000


def pem_of(
    key: PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def loaded(pem: str) -> CloudFrontKey:
    settings = SigningSettings(
        mode="cloudfront-url", cloudfrontkeyid="K2JCJMDEHXQW5F", cloudfrontkey=SecretStr(pem)
    )
    key = load_cloudfront_key(settings)
    assert key is not None
    return key


def decoded(value: str) -> bytes:
    """As CloudFront's documentation has it: base64 with three characters replaced."""
    assert not set(value) & set("+=/")
    return base64.b64decode(
        value.replace("-", "+").replace("_", "=").replace("~", "/"), validate=True
    )


def verify(key: PrivateKey, signature: bytes, policy: bytes) -> None:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, policy, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, policy, ec.ECDSA(hashes.SHA256()))


PEMS: dict[str, tuple[PrivateKey, str]] = {
    "P-256": (P256, pem_of(P256)),
    "P-256 as openssl ecparam writes it": (P256, pem_of(P256, PrivateFormat.TraditionalOpenSSL)),
    "RSA": (RSA, pem_of(RSA)),
    "RSA as openssl genrsa wrote it": (RSA, pem_of(RSA, PrivateFormat.TraditionalOpenSSL)),
}


@pytest.mark.parametrize(("key", "pem"), PEMS.values(), ids=PEMS)
def test_signature_is_of_the_policy(key: PrivateKey, pem: str) -> None:
    signed = loaded(pem).sign(RESOURCE, EXPIRES_AT_S)
    assert list(signed) == ["Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"]
    assert (signed["Key-Pair-Id"], signed["Hash-Algorithm"]) == ("K2JCJMDEHXQW5F", "SHA256")
    policy, signature = decoded(signed["Policy"]), decoded(signed["Signature"])
    verify(key, signature, policy)
    with pytest.raises(InvalidSignature):
        verify(key, signature, policy.replace(b"0197f3", b"0197f4"))
    assert json.loads(policy) == {
        "Statement": [
            {
                "Resource": RESOURCE,
                "Condition": {"DateLessThan": {"AWS:EpochTime": EXPIRES_AT_S}},
            }
        ]
    }


def test_values_stand_in_urls_and_cookies_as_they_are() -> None:
    key = loaded(pem_of(P256))
    for expires_at_s in range(EXPIRES_AT_S, EXPIRES_AT_S + 100):
        for value in key.sign(RESOURCE, expires_at_s).values():
            assert quote(value, safe="") == value


def test_policy_is_read_by_amazons_own_signer() -> None:
    ours = loaded(pem_of(P256)).sign(RESOURCE, EXPIRES_AT_S)
    theirs = CloudFrontSigner("K", lambda message: b"")
    url = theirs.generate_presigned_url(
        "https://x.example/", policy=decoded(ours["Policy"]).decode()
    )
    assert isinstance(url, str)
    assert f"Policy={ours['Policy']}&" in url


REFUSED = {
    "not PEM": ("hunter2", "expected a private key in PEM, without a password"),
    "cut": (pem_of(P256)[:-60], "expected a private key in PEM"),
    "with a password": (
        pem_of(P256, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")),
        "without a password",
    ),
    "public": (
        P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "expected a private key in PEM",
    ),
    "P-384": (pem_of(ec.generate_private_key(ec.SECP384R1())), "P-256 and RSA 2048 only"),
    "RSA 1024": (pem_of(rsa.generate_private_key(65537, 1024)), "P-256 and RSA 2048 only"),
    "Ed25519": (pem_of(ed25519.Ed25519PrivateKey.generate()), "P-256 and RSA 2048 only"),
}


@pytest.mark.parametrize(("pem", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_keys_are_refused_without_being_shown(pem: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        loaded(pem)
    assert str(caught.value).startswith("signing.cloudfrontkey: ")
    assert "hunter2" not in str(caught.value)
    assert pem.splitlines()[-1] not in str(caught.value)


def test_token_mode_needs_no_key() -> None:
    assert load_cloudfront_key(SigningSettings()) is None
