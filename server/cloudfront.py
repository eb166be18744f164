"""CloudFront's own way to protect titles, in place of the token: signed URLs and signed cookies.

Both are a policy, here a custom one that opens everything below one title until it expires, and a
signature over it, by a key whose public half is in a key group that the distribution trusts.
"""

import base64
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from media.settings import SigningSettings

P256 = ec.SECP256R1.name
RSA_BITS = 2048
COOKIE_PREFIX = "CloudFront-"

_IN_URLS = str.maketrans("+=/", "-_~")  # not base64url: CloudFront has an alphabet of its own


@dataclass(frozen=True, slots=True)
class CloudFrontKey:
    """`key_id` is CloudFront's name for the public half."""

    key_id: str
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    def sign(self, resource: str, expires_at_s: int) -> dict[str, str]:
        """What a URL carries as its query, and cookies under names that begin with
        `COOKIE_PREFIX`; `resource` is a URL in which `*` stands for anything."""
        policy = (
            f'{{"Statement":[{{"Resource":"{resource}",'
            f'"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires_at_s}}}}}}}]}}'
        ).encode()
        return {
            "Policy": _encode(policy),
            "Signature": _encode(self._signature(policy)),
            "Key-Pair-Id": self.key_id,
            "Hash-Algorithm": "SHA256",  # else CloudFront expects SHA-1
        }

    def _signature(self, policy: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(policy, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(policy, ec.ECDSA(hashes.SHA256()))


def load_cloudfront_key(signing: SigningSettings) -> CloudFrontKey | None:
    """None where playback is by token. Raises ValueError."""
    if signing.mode == "token":
        return None
    assert signing.cloudfrontkeyid is not None
    if signing.cloudfrontkey is None:
        raise ValueError(f"signing.mode {signing.mode} needs signing.cloudfrontkey, a private key")
    pem = signing.cloudfrontkey.get_secret_value().encode()
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "signing.cloudfrontkey: expected a private key in PEM, without a password"
        ) from None  # the reason may quote the key
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == P256:
        return CloudFrontKey(signing.cloudfrontkeyid, private)
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size == RSA_BITS:
        return CloudFrontKey(signing.cloudfrontkeyid, private)
    raise ValueError(
        f"signing.cloudfrontkey: CloudFront takes keys of ECDSA P-256 and RSA {RSA_BITS} only"
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").translate(_IN_URLS)
