import asyncio
import sys
from collections.abc import Sequence

import psutil
import pytest

from cli import child
from cli.child import Child, GaveUp
from tests.service import until


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
        before = psutil.Process().children()
        running = asyncio.create_task(broken.run())
        await asyncio.to_thread(_a_child_came_and_went, before)
        broken.stop()
        await running

    asyncio.run(stopped_while_waiting())


def _a_child_came_and_went(before: Sequence[psutil.Process]) -> None:
    this, others = psutil.Process(), set(before)
    until(lambda: set(this.children()) - others)
    until(lambda: not set(this.children()) - others)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"one\ntwo\n"], ["one\ntwo\n"]),
        ([b"on", b"e\ntw", b"o\n"], ["one\n", "two\n"]),
        ([b"one\n", b"no end"], ["one\n", "no end\n"]),
        ([b"\xc3", b"\xa9\n", b"\xff\n"], ["\u00e9\n", "\ufffd\n"]),
        ([b"x" * 64 * 1024] * 3, ["x" * 128 * 1024 + "\n", "x" * 64 * 1024 + "\n"]),
        ([], []),
    ],
)
def test_relay_passes_on_everything_in_whole_lines(
    monkeypatch: pytest.MonkeyPatch, chunks: list[bytes], expected: list[str]
) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "write", written.append)

    async def relayed() -> None:
        await child._relay(Chunks(chunks))

    asyncio.run(relayed())
    assert written == expected


class Chunks(asyncio.StreamReader):
    """Gives them one by one, however fast they are read."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)

    async def read(self, n: int = -1) -> bytes:
        return next(self._chunks, b"")
