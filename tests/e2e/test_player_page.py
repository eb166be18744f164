"""The player page in a real Chromium, against the real service."""

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    CDPSession,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.e2e.clips import CLIPS, PLAYABLE, WATCHED, Uploaded
from tests.e2e.configurations import ONE_INSTALL
from tests.e2e.service import Service

LONG_CLIP = CLIPS / WATCHED
SHORT_CLIP = CLIPS / "bbb-720p25-5.1.mp4"
AUDIO_CLIP = CLIPS / "audio-only-cover.mp3"
BROKEN_CLIP = CLIPS / "bad-corrupted.mp4"
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
ENCODED_S = 240
SEEN_S = 60
UPLOAD_BYTES_PER_S = 200_000  # slow enough that progress is seen

KEY = "'headrace.user'"
CURRENT_TIME = "document.querySelector('video').currentTime"
BUFFERED_RANGES = "document.querySelector('video').buffered.length"
# Kept in the page from here on: what a viewer would notice as a hiccup.
RECORD_HICCUPS = """() => {
  const video = document.querySelector('video');
  window.hiccups = [];
  for (const name of ['waiting', 'stalled', 'error', 'emptied'])
    video.addEventListener(name, () => window.hiccups.push(`${name} at ${video.currentTime}`));
  let shown = video.currentTime;
  const onFrame = (_, { mediaTime }) => {
    if (mediaTime - shown > 1) window.hiccups.push(`picture held from ${shown} to ${mediaTime}`);
    shown = mediaTime;
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
}"""

SEEK_NEAR_END = """() => {
  const video = document.querySelector('video');
  video.currentTime = video.duration - 0.5;
  video.play();
}"""

Complaints = list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable is not None, "chromium is not installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What went wrong in the browser; empty at the end of every test."""
    complaints: Complaints = []
    yield complaints
    assert complaints == []


@pytest.fixture
def page(browser: Browser, service: Service, complaints: Complaints) -> Iterator[Page]:
    """The page of a visitor who has no titles yet."""
    with browser.new_context(viewport=ViewportSize(width=1280, height=800)) as context:
        user = json.dumps(f"visitor-{secrets.token_hex(4)}")
        context.add_init_script(
            f"localStorage.getItem({KEY}) ?? localStorage.setItem({KEY}, {user})"
        )
        page = context.new_page()
        own = (service.url, service.settings.origin.publicurl or service.url)
        watch(page, complaints, own)
        page.goto(service.url)
        yield page


def watch(page: Page, complaints: Complaints, own: tuple[str, ...]) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((*own, "blob:", "data:")):
            complaints.append(f"request to {request.url}")

    def on_failed(request: Request) -> None:
        # hls.js gives up a segment that it does not need any more.
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"{request.failure}: {request.url}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status}: {response.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("request", on_request)
    page.on("requestfailed", on_failed)
    page.on("response", on_response)


@pytest.fixture
def playing(page: Page, service: Service, watched: str) -> None:
    """A ready title, opened from a link to it and playing."""
    user = service.client.headers["X-User-ID"]
    page.evaluate("user => localStorage.setItem('headrace.user', user)", user)
    page.goto(f"{service.url}/#{watched}")
    page.reload()  # a change of the fragment alone loads nothing
    until(page, "document.querySelector('video').readyState >= 3")
    page.evaluate("document.querySelector('video').play()")
    until(page, f"{CURRENT_TIME} > 1")


@pytest.mark.parametrize("clip", PLAYABLE)
@pytest.mark.timeout(1200)
def test_every_clip_plays(clip: str, page: Page, service: Service, uploaded: Uploaded) -> None:
    title = service.wait(uploaded(clip))
    user = service.client.headers["X-User-ID"]
    page.evaluate("user => localStorage.setItem('headrace.user', user)", user)
    page.goto(f"{service.url}/#{title['id']}")
    page.reload()
    until(page, "document.querySelector('video').readyState >= 3")
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(
        title["duration_s"], abs=0.05
    )
    page.evaluate("() => { const v = document.querySelector('video'); v.muted = true; v.play() }")
    until(page, f"{CURRENT_TIME} > 1 || document.querySelector('video').ended")
    page.evaluate(SEEK_NEAR_END)
    until(page, "document.querySelector('video').ended")


@pytest.fixture
def api(page: Page, service: Service) -> Iterator[httpx.Client]:
    """The control API, as the visitor."""
    user = page.evaluate("localStorage.getItem('headrace.user')")
    with httpx.Client(base_url=service.url, headers={"X-User-ID": user}, timeout=60) as client:
        yield client


def choose_file(page: Page, clip: Path) -> None:
    page.get_by_label("Drop a video or audio file").set_input_files(clip)


def row_of(page: Page, clip: Path) -> Locator:
    return page.get_by_role("listitem").filter(has_text=clip.stem)


def until(page: Page, expression: str, within_s: float = SEEN_S) -> Any:
    """The first truthy value of a JavaScript expression."""
    deadline = time.monotonic() + within_s
    while not (value := page.evaluate(expression)):
        alert = page.locator("#panel[data-failed=true]:visible, #notice:visible")
        assert alert.count() == 0, alert.inner_text()
        assert time.monotonic() < deadline, f"still falsy: {expression}"
        page.wait_for_timeout(50)
    return value


def upload_and_wait(page: Page, clip: Path) -> None:
    choose_file(page, clip)
    expect(row_of(page, clip)).to_contain_text("Ready", timeout=ENCODED_S * 1000)


def throttle_upload(page: Page, bytes_per_s: int) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": bytes_per_s})
    return session


def dropped_and_total_frames(page: Page) -> tuple[int, int]:
    dropped, total = page.locator("#figure-dropped").inner_text().split(" of ")
    return int(dropped.replace(",", "")), int(total.replace(",", ""))


@ONE_INSTALL
def test_upload_is_followed_and_played(page: Page) -> None:
    throttle = throttle_upload(page, UPLOAD_BYTES_PER_S)
    choose_file(page, LONG_CLIP)
    sent = until(
        page, "(v => v > 0 && v < 1 && v)(document.querySelector('#upload-progress').value)"
    )
    assert 0 < sent < 1
    expect(page.locator("#upload-text")).to_contain_text("% of 1.29 MB")
    throttle.detach()

    expect(page.get_by_role("heading", level=1)).to_have_text(LONG_CLIP.stem)
    expect(row_of(page, LONG_CLIP)).to_contain_text("Encoding")
    until(page, f"{CURRENT_TIME} > 5", within_s=ENCODED_S)

    expect(row_of(page, LONG_CLIP)).to_contain_text("Ready", timeout=ENCODED_S * 1000)
    until(page, "document.querySelector('video').ended", within_s=ENCODED_S)
    assert page.evaluate(CURRENT_TIME) == pytest.approx(30, abs=0.5)


@ONE_INSTALL
@pytest.mark.usefixtures("playing")
def test_rung_is_switched_without_a_gap(page: Page) -> None:
    expect(page.locator("#figure-rung")).to_have_text("720p", timeout=SEEN_S * 1000)

    page.evaluate(RECORD_HICCUPS)
    page.get_by_role("group", name="Quality").get_by_text("360p", exact=True).click()
    expect(page.locator("#figure-rung")).to_have_text("360p", timeout=SEEN_S * 1000)
    switched_at = page.evaluate(CURRENT_TIME)
    until(page, f"{CURRENT_TIME} > {switched_at + 3}")

    assert page.evaluate("window.hiccups") == []
    assert page.evaluate(BUFFERED_RANGES) == 1
    assert page.evaluate("document.querySelector('video').videoHeight") == 360
    dropped, total = dropped_and_total_frames(page)
    assert total > 0
    assert dropped < total / 2
    assert float(page.locator("#figure-buffer").inner_text().removesuffix(" s")) > 0
    expect(page.locator("#figure-bandwidth")).to_contain_text("b/s")
    expect(page.locator("#figure-bit-rate")).to_contain_text("b/s")


@ONE_INSTALL
@pytest.mark.usefixtures("playing")
def test_expired_token_is_renewed_at_the_same_position(page: Page, complaints: Complaints) -> None:
    refused: list[str] = []

    def expire_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=403)

    page.context.route("**/t/**", expire_once)
    page.get_by_role("group", name="Quality").get_by_text("480p", exact=True).click()
    page.evaluate(f"{CURRENT_TIME} = 12")
    until(page, f"{CURRENT_TIME} > 14")
    assert len(refused) == 1
    expect(page.get_by_role("radio", name="480p")).to_be_checked()
    expect(page.locator("#figure-rung")).to_have_text("480p")
    assert all("403" in complaint for complaint in complaints), complaints
    complaints.clear()


@ONE_INSTALL
def test_audio_title_plays(page: Page) -> None:
    upload_and_wait(page, AUDIO_CLIP)
    until(page, f"{CURRENT_TIME} > 1")
    expect(page.locator("#figure-rung")).to_contain_text("kb/s")
    expect(page.get_by_role("group", name="Quality").get_by_role("radio")).to_have_count(3)
    expect(page.locator("#figure-dropped")).to_be_hidden()


def test_failed_title_shows_the_reason(page: Page, api: httpx.Client) -> None:
    choose_file(page, BROKEN_CLIP)
    expect(page.locator("#panel-title")).to_have_text(
        "This file cannot be played", timeout=ENCODED_S * 1000
    )
    (title,) = api.get("/api/v1/media").json()["items"]
    expect(page.locator("#panel-text")).to_have_text(title["error"]["message"])
    expect(row_of(page, BROKEN_CLIP)).to_contain_text("Failed")


@ONE_INSTALL
def test_refused_upload_shows_the_problem(
    page: Page, tmp_path: Path, complaints: Complaints
) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with page.expect_response("**/api/v1/upload") as answer:
        choose_file(page, empty)
    problem = answer.value.json()
    assert 400 <= answer.value.status < 500
    expect(page.get_by_role("alert")).to_contain_text(problem["detail"])
    expect(page.get_by_label("Drop a video or audio file")).to_be_enabled()
    assert all(str(answer.value.status) in complaint for complaint in complaints), complaints
    complaints.clear()


@ONE_INSTALL
def test_media_are_listed_newest_first_and_deleted(page: Page, api: httpx.Client) -> None:
    for clip in (SHORT_CLIP, AUDIO_CLIP):
        with clip.open("rb") as file:
            assert api.post("/api/v1/upload", files={"file": (clip.name, file)}).status_code == 201
    page.reload()
    expect(page.get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("listitem").first).to_contain_text(AUDIO_CLIP.stem)

    delete = page.get_by_role("button", name=f"Delete {AUDIO_CLIP.stem}")
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("listitem")).to_have_count(2)
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("listitem")).to_have_count(1)
    assert [item["title"] for item in api.get("/api/v1/media").json()["items"]] == [SHORT_CLIP.stem]


@ONE_INSTALL
def test_long_list_is_shown_page_by_page(page: Page, api: httpx.Client) -> None:
    fields = {"filename": "clip.mp4"}
    for number in range(25):
        answer = api.post("/api/v1/upload/presign", json=fields | {"title": f"Number {number}"})
        assert answer.status_code in {200, 201}, answer.text
    page.reload()
    items = page.get_by_role("listitem")
    expect(items.first).to_contain_text("Number 24")
    while page.locator("#more").is_visible():
        shown = items.count()
        page.locator("#more").click()
        expect(items.nth(shown)).to_be_visible()
    expect(items).to_have_count(25)


@ONE_INSTALL
def test_user_id_is_changed(page: Page, api: httpx.Client) -> None:
    choose_file(page, SHORT_CLIP)
    expect(page.get_by_role("listitem")).to_have_count(1)
    own_id = api.headers["X-User-ID"]
    page.get_by_role("button", name="User id").click()
    page.get_by_role("textbox").fill("somebody-else")
    page.get_by_role("textbox").press("Enter")
    expect(page.get_by_role("button", name="User id")).to_contain_text("somebody-else")
    expect(page.get_by_role("listitem")).to_have_count(0)

    page.get_by_role("button", name="User id").click()
    page.get_by_role("textbox").fill(own_id)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("listitem")).to_have_count(1)


@ONE_INSTALL
def test_page_fits_a_narrow_window(page: Page) -> None:
    page.set_viewport_size(ViewportSize(width=360, height=740))
    upload_and_wait(page, SHORT_CLIP)
    expect(page.get_by_role("group", name="Quality")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
