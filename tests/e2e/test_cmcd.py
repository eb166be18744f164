"""What a viewer in a real Chromium saw is what the service tells of the title."""

import re
import shutil
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, CDPSession, Page, Request, sync_playwright

from tests.e2e.configurations import ONE_INSTALL
from tests.e2e.service import Service
from tests.e2e.test_player_page import CHROMIUM_ARGS, CURRENT_TIME, until

pytestmark = ONE_INSTALL

SEEN_S = 60
STARVING_BYTES_PER_S = 15_000  # the lowest rung and its sound need some three times that
BANDWIDTH = re.compile(r"BANDWIDTH=(\d+)")

Figures = dict[str, float]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable is not None, "chromium is not installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def title(watched: str) -> str:
    return watched


@pytest.fixture
def page(browser: Browser, service: Service, title: str) -> Iterator[Page]:
    """The title, opened from a link to it, and not told to play yet."""
    with browser.new_context() as context:
        user = service.client.headers["X-User-ID"]
        context.add_init_script(f"localStorage.setItem('headrace.user', '{user}')")
        page = context.new_page()
        page.goto(f"{service.url}/#{title}")
        yield page


def play(page: Page) -> None:
    until(page, "document.querySelector('video').readyState > 0")
    page.evaluate("() => void document.querySelector('video').play()")
    until(page, f"{CURRENT_TIME} > 0.1")


def figures(service: Service, media_id: str) -> Figures:
    """The title's metrics by name."""
    told = httpx.get(f"{service.url}/metrics").text
    found = re.findall(rf'^headrace_viewer_(\w+){{media="{media_id}"}} (\S+)$', told, re.MULTILINE)
    return {name: float(value) for name, value in found}


def figures_once(service: Service, media_id: str, name: str, at_least: float) -> Figures:
    deadline = time.monotonic() + SEEN_S
    while (told := figures(service, media_id)).get(name, 0) < at_least:
        assert time.monotonic() < deadline, f"{name} is less than {at_least}: {told}"
        time.sleep(0.05)
    return told


def throttled(page: Page, bytes_per_s: int) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", limits | {"downloadThroughput": bytes_per_s})
    return session


def test_played_title_is_told_with_start_up_time_and_bit_rate(
    page: Page, service: Service, title: str
) -> None:
    before = figures(service, title)
    play(page)
    started = figures_once(
        service, title, "startup_seconds_count", before.get("startup_seconds_count", 0) + 1
    )
    startup_s = started["startup_seconds_sum"] - before.get("startup_seconds_sum", 0)
    assert 0 <= startup_s < SEEN_S
    until(page, f"{CURRENT_TIME} > 4")
    page.evaluate(f"{CURRENT_TIME} = 20")  # a viewer's jump is neither play nor an interruption
    until(page, f"{CURRENT_TIME} > 21")
    page.goto("about:blank")

    told = figures_once(
        service, title, "played_seconds_total", before.get("played_seconds_total", 0) + 4
    )
    played_s = told["played_seconds_total"] - before.get("played_seconds_total", 0)
    assert played_s < 20
    assert told["startup_seconds_count"] == started["startup_seconds_count"]
    bit_rate = (told["played_bits_total"] - before.get("played_bits_total", 0)) / played_s
    playlist = httpx.get(service.playback_url(title)).text
    declared = [int(value) for value in BANDWIDTH.findall(playlist)]
    assert 0.5 * min(declared) < bit_rate < 1.01 * max(declared)


def test_stall_is_told_as_rebuffering(page: Page, service: Service, title: str) -> None:
    before = figures(service, title)
    page.goto("about:blank")  # and come back to a page that is cached, to segments that are not
    session = throttled(page, STARVING_BYTES_PER_S)
    page.goto(f"{service.url}/#{title}")
    play(page)
    until(page, f"document.querySelector('video').readyState < 3 && {CURRENT_TIME} > 0.5")
    session.detach()
    until(page, f"{CURRENT_TIME} > 3")
    page.goto("about:blank")
    told = figures_once(
        service, title, "rebufferings_total", before.get("rebufferings_total", 0) + 1
    )
    waited_s = told["rebuffering_seconds_total"] - before.get("rebuffering_seconds_total", 0)
    assert 0 < waited_s < SEEN_S


def test_requests_tell_what_a_cdn_logs(browser: Browser, service: Service, title: str) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/v/" in request.url:
            asked.append(request.url)

    user = service.client.headers["X-User-ID"]
    with browser.new_context() as context:
        context.add_init_script(f"localStorage.setItem('headrace.user', '{user}')")
        page = context.new_page()
        page.on("request", note)
        page.goto(f"{service.url}/#{title}")
        play(page)
    told = [parse_qs(urlsplit(url).query)["CMCD"][0] for url in asked]
    assert all(f'cid="{title}"' in keys for keys in told)
    sessions = {match[1] for keys in told if (match := re.search(r'sid="(\w+)"', keys))}
    assert len(sessions) == 1
    segment = next(keys for url, keys in zip(asked, told, strict=True) if ".m4s" in url)
    for key in ("br=", "d=", "ot=", "sf=h", "bl="):
        assert key in segment
