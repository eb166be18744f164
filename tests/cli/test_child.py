import asyncio

import psutil
import pytest

from cli import child
from cli.child import Child, GaveUp
from tests.cli.service import until


def test_child_that_keeps_ending_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child, "FIRST_DELAY_S", 0.01)
    with pytest.raises(GaveUp, match=r"the broken process ended 5 times .* \(exit code 1\)"):
        asyncio.run(Child("broken", ("playback", "not/an/id")).run())
    assert capfd.readouterr().err.count("'not/an/id' is not the id of a title") == 5


def test_child_that_is_misconfigured_is_given_up_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GaveUp, match="the broken process cannot use its configuration"):
        asyncio.run(Child("broken", ("no-such-command",)).run())
    assert capfd.readouterr().err.count("no-such-command") == 1


def test_stop_ends_the_wait_before_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_DELAY_S", 1e6)
    monkeypatch.setattr(child, "MAX_DELAY_S", 1e6)

    async def stopped_while_waiting() -> None:
        broken = Child("broken", ("playback", "not/an/id"))
        running = asyncio.create_task(broken.run())
        await asyncio.to_thread(_a_child_came_and_went)
        broken.stop()
        await running

    asyncio.run(stopped_while_waiting())


def _a_child_came_and_went() -> None:
    this = psutil.Process()
    until(this.children)
    until(lambda: not this.children())


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"one\ntwo\n"], "one\ntwo\n"),
        ([b"on", b"e\ntw", b"o\n"], "one\ntwo\n"),
        ([b"no end"], "no end\n"),
        ([b"\xff\n"], "\ufffd\n"),
        ([b"x" * 200_000], "x" * 200_000 + "\n"),
        ([], ""),
    ],
)
def test_relay_passes_on_everything_in_whole_lines(
    capsys: pytest.CaptureFixture[str], chunks: list[bytes], expected: str
) -> None:
    async def relayed() -> None:
        stream = asyncio.StreamReader()
        for chunk in chunks:
            stream.feed_data(chunk)
        stream.feed_eof()
        await child._relay(stream)

    asyncio.run(relayed())
    assert capsys.readouterr().err.replace("\n", "") == expected.replace("\n", "")
