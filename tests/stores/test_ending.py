import asyncio
from contextlib import suppress

import pytest

from stores import ending


def test_task_that_misses_a_cancellation_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "CANCEL_AGAIN_S", 0.01)

    async def forever(misses: int) -> None:
        for _ in range(misses):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    async def scenario() -> None:
        for misses in range(3):
            task = asyncio.create_task(forever(misses))
            await asyncio.sleep(0)
            await ending.end(task)
            assert task.cancelled()

    asyncio.run(scenario())


def test_what_has_ended_is_left_as_it_is() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(asyncio.sleep(0, "done"))
        await asyncio.wait({task})
        await ending.end(task)
        assert task.result() == "done"

    asyncio.run(scenario())
