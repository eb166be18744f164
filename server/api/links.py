"""What a player is given to play a title: by token, or by CloudFront's own signature."""

import time
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.responses import Response

from media.keys import INDEX, media_prefix, package_prefix
from media.settings import Settings
from server.api.bodies import Playback, answer
from server.api.reports import PATH as REPORTS_PATH
from server.cloudfront import COOKIE_PREFIX, load_cloudfront_key
from server.tokens import TokenKeys, issue, playback_path


class Links:
    def __init__(self, keys: TokenKeys, settings: Settings) -> None:
        self._keys = keys
        self._media_url = settings.media_url
        self._signing = settings.signing
        self._cloudfront = load_cloudfront_key(settings.signing)

    def answer(self, media_id: str, version: str, *, api_url: str) -> Response:
        expires = int(time.time() + self._signing.lifetime.total_seconds())
        token = issue(self._keys, media_id, expires)
        url = self._media_url or api_url
        cookies = None
        if self._cloudfront is None:
            url += playback_path(token, media_id, version)
        else:
            # The wildcard: a player that sends the same with every request plays the whole title.
            signed = self._cloudfront.sign(f"{url}/{media_prefix(media_id)}*", expires)
            url += f"/{package_prefix(media_id, version)}{INDEX}"
            if self._signing.mode == "cloudfront-url":
                url += f"?{urlencode(signed)}"
            else:
                cookies = {COOKIE_PREFIX + name: value for name, value in signed.items()}
        playback = Playback(
            url=url,
            expires_at=datetime.fromtimestamp(expires, UTC),
            cmcd_url=f"{api_url}{REPORTS_PATH}?token={token}",
            cookies=cookies,
        )
        response = answer(playback)
        if cookies is not None and self._signing.cookiedomain is not None:
            _set_cookies(response, cookies, self._signing.cookiedomain, media_prefix(media_id))
        return response


def _set_cookies(response: Response, cookies: dict[str, str], domain: str, prefix: str) -> None:
    """Below the title alone, so that a browser holds those of several titles. They end with the
    browser's session at the latest; CloudFront looks at the policy's own end."""
    for name, value in cookies.items():
        response.set_cookie(
            name,
            value,
            path=f"/{prefix}",
            domain=domain,
            secure=True,
            httponly=True,
            samesite="lax",
        )
