"""Asks the CDN itself whether it opens what this service signs.

A key that a distribution holds cannot be compared without reading it, and what the key value store
says is not yet what a point of presence does. So each key signs access to a title that does not
exist: who knows the key asks the origin, which answers 404; who does not refuses with 403.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from media.keys import media_prefix
from media.settings import Settings
from server.cloudfront import COOKIE_PREFIX, load_cloudfront_key
from server.tokens import KEYS_FILE, TokenKeys, issue, load_keys
from stores.trait import Trait

LIFETIME_S = 300
TIMEOUT_S = 20
UNKNOWN_KID = "doctor"


@dataclass(frozen=True, slots=True)
class _Probe:
    """`status` is what it gets where all is well."""

    what: str
    path: str
    status: int
    remedy: str
    query: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)


def playback_traits(settings: Settings, *, needed: bool = True) -> Iterator[Trait]:
    """Without `needed` it is no fault yet that the CDN or its origin does not answer."""
    if settings.media_url is None:
        return
    try:
        probes = list(_probes(settings, settings.media_url))
    except ValueError as error:
        yield Trait("signing", False, "cannot be used", str(error))
        return
    with httpx.Client(base_url=settings.media_url, timeout=TIMEOUT_S) as http:
        for probe in probes:
            yield _asked(http, probe, needed=needed)


def _probes(settings: Settings, media_url: str) -> Iterator[_Probe]:
    """Each of an object of its own: a cache may keep an answer."""
    yield _Probe("CDN, without a token", f"/{_object()}", 403, _CLOSED)
    if settings.signing.mode == "token":
        stranger = TokenKeys({UNKNOWN_KID: secrets.token_bytes(32)})
        yield _Probe("CDN, key of a stranger", _with_token(stranger), 403, _CLOSED)
        for kid, secret in _secrets(settings).items():
            path = _with_token(TokenKeys({kid: secret}))
            yield _Probe(f"CDN, key {kid}", path, 404, _UNKNOWN_KEY.format(kid=kid))
        return
    key = load_cloudfront_key(settings.signing)
    assert key is not None
    signed = key.sign(f"{media_url}/{media_prefix(_TITLE)}*", round(time.time()) + LIFETIME_S)
    remedy = f"put {key.key_id} into the key group that the distribution's behaviours trust"
    what, path = f"CDN, key {key.key_id}", f"/{_object()}"
    if settings.signing.mode == "cloudfront-url":
        yield _Probe(what, path, 404, remedy, query=signed)
    else:
        cookies = {f"{COOKIE_PREFIX}{name}": value for name, value in signed.items()}
        yield _Probe(what, path, 404, remedy, cookies=cookies)


_TITLE = "headrace-doctor"
_CLOSED = (
    "anybody can watch what that opens: give the default behaviour the viewer-request function, "
    "and the behaviour of /v/* a key group or none at all; see deployments/cloudfront"
)
_UNKNOWN_KEY = (
    "put its secret as key.{kid} into the function's key value store and wait for it to be "
    "deployed; if it is there, put what the distribution sends as X-Origin-Verify into "
    "origin.secrets of the origins"
)


def _secrets(settings: Settings) -> dict[str, bytes]:
    """None before the first start has made one: this only looks."""
    if not settings.signing.keys and not (settings.data.dir / KEYS_FILE).exists():
        return {}
    return load_keys(settings.signing, settings.data.dir).secrets


def _object() -> str:
    return f"{media_prefix(_TITLE)}0/720p/{secrets.token_hex(8)}.m4s"


def _with_token(keys: TokenKeys) -> str:
    return f"/t/{issue(keys, _TITLE, round(time.time()) + LIFETIME_S)}/{_object()}"


def _asked(http: httpx.Client, probe: _Probe, *, needed: bool) -> Trait:
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in probe.cookies.items())}
    try:
        answer = http.get(
            probe.path, params=probe.query or None, headers=headers if probe.cookies else {}
        )
    except httpx.TransportError as error:
        remedy = f"let {http.base_url} resolve to the CDN, and the CDN reach an origin"
        return Trait(probe.what, False, f"no answer: {error}", remedy, needed=needed)
    by = answer.headers.get("x-cache", "")
    found = f"answers {answer.status_code}{f' ({by})' if by else ''}"
    if answer.status_code >= 500:
        remedy = "let the CDN reach an origin: see its /health"
        return Trait(probe.what, False, found, remedy, needed=needed)
    ok = answer.status_code == probe.status
    return Trait(probe.what, ok, f"{found}, as it should" if ok else found, probe.remedy)
