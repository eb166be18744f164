"""A browser's own EventSource, across the death of the server that it listens to."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from playwright.async_api import Page, async_playwright

from tests.server.lives import LIFE, catalog_in, go_on, live
from tests.service import COMMAND, DEADLINE_S, environment, free_port, until

LISTEN = """([url, kinds]) => {
  window.told = [];
  window.source = new EventSource(url);
  for (const kind of kinds)
    source.addEventListener(kind, (event) => told.push(`${event.lastEventId} ${kind}`));
}"""
HEARD = "count => window.told.length >= count"
CLOSED = "() => window.source.readyState === EventSource.CLOSED"


@contextmanager
def serving(directory: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The page and the API, without a worker."""
    with (directory / "output").open("ab") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve"],
            cwd=directory,
            env=environment(directory, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: is_ready(process, port))
        yield process
    finally:
        process.kill()
        process.wait()


def is_ready(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready").is_success
    except httpx.TransportError:
        return False


@asynccontextmanager
async def visiting(url: str, user: str) -> AsyncIterator[Page]:
    """Through a proxy that knows its users, as it were: an EventSource sends no header of ours."""
    executable = shutil.which("chromium")
    assert executable is not None, "chromium is not installed"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        page = await browser.new_page(extra_http_headers={"X-User-ID": user})
        page.set_default_timeout(DEADLINE_S * 1000)
        await page.goto(url)
        yield page
        await browser.close()


async def listen_across_a_death(directory: Path) -> list[str]:
    """What the page is told by the time that its EventSource has ended by itself."""
    port = free_port()
    catalog = catalog_in(directory / "data")
    try:
        with serving(directory, port) as first:
            media_id = await live(catalog, "ann", LIFE[:3])
            async with visiting(f"http://127.0.0.1:{port}", "ann") as page:
                await page.evaluate(LISTEN, [f"/api/v1/media/{media_id}/events", sorted({*LIFE})])
                await page.wait_for_function(HEARD, arg=3)
                first.kill()
                first.wait()
                await go_on(catalog, media_id, *LIFE[3:5])
                with serving(directory, port):
                    await page.wait_for_function(HEARD, arg=5)
                    await go_on(catalog, media_id, *LIFE[5:])
                    await page.wait_for_function(CLOSED)
                told: list[str] = await page.evaluate("window.told")
    finally:
        await catalog.close()
    return told


def test_event_source_goes_on_where_it_was_and_ends_by_itself(tmp_path: Path) -> None:
    told = asyncio.run(listen_across_a_death(tmp_path))
    assert told == [f"{number} {kind}" for number, kind in enumerate(LIFE, 1)]
