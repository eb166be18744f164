import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stores.threads import in_thread


def test_result_and_error_come_back() -> None:
    async def body() -> None:
        with ThreadPoolExecutor(1) as pool:
            assert await in_thread(pool, divmod, 7, 2) == (3, 1)
            with pytest.raises(ZeroDivisionError):
                await in_thread(pool, divmod, 7, 0)

    asyncio.run(body())


@pytest.mark.parametrize("cancellations", [1, 3])
@pytest.mark.parametrize("fails", [False, True])
def test_cancelled_caller_waits_for_running_work(cancellations: int, fails: bool) -> None:
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        may_end.wait(60)
        ended.set()
        if fails:
            raise OSError

    async def body() -> None:
        with ThreadPoolExecutor(1) as pool:
            caller = asyncio.create_task(in_thread(pool, work))
            await asyncio.to_thread(started.wait, 60)
            for _ in range(cancellations):
                caller.cancel()
                for _ in range(5):
                    await asyncio.sleep(0)
                assert not caller.done()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert ended.is_set()

    asyncio.run(body())


def test_cancelled_caller_takes_back_work_that_has_not_started() -> None:
    started, may_end = threading.Event(), threading.Event()
    calls: list[str] = []

    def occupy() -> None:
        started.set()
        may_end.wait(60)

    async def body() -> None:
        with ThreadPoolExecutor(1) as pool:
            first = asyncio.create_task(in_thread(pool, occupy))
            await asyncio.to_thread(started.wait, 60)
            second = asyncio.create_task(in_thread(pool, calls.append, "never"))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            may_end.set()
            await first
        assert calls == []

    asyncio.run(body())
