import time

import httpx
import pytest

from media.settings import SigningSettings
from server.api.reports import BURST, MAX_TOKENS, MIN_INTERVAL_S, Pace
from server.cmcd import MAX_BODY_BYTES
from server.tokens import TokenKeys, issue, load_keys
from tests.server.api.service import Server, metric
from tests.server.api.test_presign import problem_of
from tests.server.api.test_titles import playable

REPORT = b"msd=300,v=2\nbr=(2000),bsd=(400),headrace-played=10000,v=2\n"
PLAYED = 'headrace_viewer_played_seconds_total{{media="{}"}}'


@pytest.fixture
def keys(server: Server) -> TokenKeys:
    return load_keys(SigningSettings(), server.data)


@pytest.fixture
def media_id() -> str:
    return f"{time.time_ns():024x}"


def send(client: httpx.Client, token: str, body: bytes = REPORT) -> httpx.Response:
    return client.post("/api/v1/cmcd", params={"token": token}, content=body)


def in_an_hour() -> int:
    return int(time.time()) + 3600


def test_player_reports_where_the_playback_answer_says(
    server: Server, client: httpx.Client
) -> None:
    media_id = playable(server, client)
    playback = client.get(f"/api/v1/media/{media_id}/playback").json()
    assert playback["cmcd_url"].startswith(f"{server.url}/api/v1/cmcd?token=")
    del client.headers["X-User-ID"]
    assert client.post(playback["cmcd_url"], content=REPORT).status_code == 204
    figures = client.get("/metrics").text
    assert metric(figures, PLAYED.format(media_id)) == 10
    assert metric(figures, f'headrace_viewer_played_bits_total{{media="{media_id}"}}') == 20e6
    assert metric(figures, f'headrace_viewer_rebufferings_total{{media="{media_id}"}}') == 1
    started = f'headrace_viewer_startup_seconds_bucket{{le="0.5",media="{media_id}"}}'
    assert metric(figures, started) == 1


def test_report_counts_for_the_title_of_its_token_whatever_it_says(
    client: httpx.Client, keys: TokenKeys, media_id: str
) -> None:
    body = b'cid="ffffffffffffffffffffffff",headrace-played=1000'
    assert send(client, issue(keys, media_id, in_an_hour()), body).status_code == 204
    figures = client.get("/metrics").text
    assert metric(figures, PLAYED.format(media_id)) == 1
    assert "ffffffffffffffffffffffff" not in figures


def test_token_that_does_not_hold_is_refused(
    client: httpx.Client, keys: TokenKeys, media_id: str
) -> None:
    good = issue(keys, media_id, in_an_hour())
    expired = issue(keys, media_id, int(time.time()) - 1)
    for token in ("", "x", good[:-1], expired, good + "x" * 2000):
        assert problem_of(send(client, token)) == (403, "token-refused")
    assert media_id not in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 204), (b"MSD=5", 422), (b"v=2\n" * 65, 422), (b"v=2\n" * MAX_BODY_BYTES, 413)],
)
def test_body_is_bounded_and_has_to_be_reports(
    client: httpx.Client, keys: TokenKeys, media_id: str, body: bytes, status: int
) -> None:
    assert send(client, issue(keys, media_id, in_an_hour()), body).status_code == status


def test_one_player_cannot_flood(client: httpx.Client, keys: TokenKeys, media_id: str) -> None:
    token = issue(keys, media_id, in_an_hour())
    answers = [send(client, token) for _ in range(10 * BURST)]
    assert [answer.status_code for answer in answers[:BURST]] == [204] * BURST
    refused = next(answer for answer in answers if answer.status_code != 204)
    assert problem_of(refused) == (429, "too-many-reports")
    assert int(refused.headers["Retry-After"]) > 0
    assert send(client, issue(keys, media_id, in_an_hour())).status_code == 204


def test_pace_allows_a_burst_and_then_the_steady_pace() -> None:
    pace = Pace()
    assert [pace.allows("a", 0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert pace.allows("b", 0)
    assert not pace.allows("a", MIN_INTERVAL_S - 0.1)
    assert pace.allows("a", MIN_INTERVAL_S)
    assert not pace.allows("a", MIN_INTERVAL_S)
    assert [pace.allows("a", 1000) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_pace_remembers_a_bounded_number_of_tokens() -> None:
    pace = Pace()
    for number in range(3 * MAX_TOKENS):
        assert pace.allows(str(number), 0)
    assert len(pace._due_s) == MAX_TOKENS
