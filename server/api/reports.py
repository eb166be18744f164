"""The door for players' reports. What opens it is the playback token, so that a player needs
nothing but what it was given to play, and can speak of that title alone."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from native.token import MAX_TOKEN_CHARACTERS, TokenVerifier
from server.api.incoming import body_chunks
from server.api.operations import Gives, Operation, Takes
from server.api.viewers import Viewers
from server.cmcd import MAX_BODY_BYTES, InvalidReport, parse_reports
from server.problems import BodyTimeout, InvalidFields, TokenRefused, TooLarge, TooManyReports
from server.tokens import TokenKeys

PATH = "/api/v1/cmcd"
MIN_INTERVAL_S = 2.0  # between two bodies with one token, on average
BURST = 10
MAX_TOKENS = 4096  # whose pace is remembered


class Reports:
    def __init__(self, keys: TokenKeys, viewers: Viewers, timeout: timedelta) -> None:
        self._verifier = TokenVerifier(keys.by_kid())
        self._viewers = viewers
        self._timeout_s = timeout.total_seconds()
        self._pace = Pace()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "POST",
                PATH,
                self.take_reports,
                "Tell how a title plays: CMCD version 2 event reports (CTA-5004), one per line",
                Gives(204, "They are counted.", media_type=None),
                takes=Takes("application/cmcd", {"type": "string", "maxLength": MAX_BODY_BYTES}),
                query={"token": {"type": "string", "maxLength": MAX_TOKEN_CHARACTERS}},
                query_required=True,
                problems=(TokenRefused, TooManyReports, TooLarge, BodyTimeout, InvalidFields),
                for_user=False,
            )
        ]

    async def take_reports(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        grant = self._verifier.verify(token, time.time())
        if grant is None:
            raise TokenRefused("It is not a playback token of ours, or it has expired.")
        if not self._pace.allows(token, time.monotonic()):
            raise TooManyReports(f"One player reports every {MIN_INTERVAL_S:g} s at most.")
        chunks = body_chunks(request, max_bytes=MAX_BODY_BYTES, timeout_s=self._timeout_s)
        body = b"".join([chunk async for chunk in chunks])
        try:
            reports = parse_reports(body)
        except InvalidReport as exc:
            raise InvalidFields({"body": str(exc)}) from exc
        self._viewers.add(grant.prefix.strip("/").partition("/")[2], reports)
        return Response(status_code=204)


class Pace:
    """The generic cell rate algorithm (ITU-T I.371): all that is kept of a token is when the
    bodies it has sent so far would have been due at the steady pace."""

    def __init__(self) -> None:
        self._due_s: OrderedDict[str, float] = OrderedDict()

    def allows(self, token: str, now_s: float) -> bool:
        due_s = max(self._due_s.get(token, now_s), now_s)
        if due_s - now_s > (BURST - 1) * MIN_INTERVAL_S:
            return False
        self._due_s[token] = due_s + MIN_INTERVAL_S
        self._due_s.move_to_end(token)
        if len(self._due_s) > MAX_TOKENS:
            self._due_s.popitem(last=False)
        return True
