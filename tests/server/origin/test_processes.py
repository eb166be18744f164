"""Several processes of one host, one object that none of them has."""

import asyncio
from pathlib import Path

import pytest

from media.keys import segment_name
from tests.server.origin.served import fetch, serving, wait_until

PROCESSES = 4
BODY = b"segment" * 20_000
NAME = f"720p/{segment_name(1, BODY)}"


@pytest.mark.parametrize(("disk", "most_reads"), [(True, 1), (False, PROCESSES)])
def test_hundred_clients_of_four_processes_read_a_cold_object_few_times(
    tmp_path: Path, disk: bool, most_reads: int
) -> None:
    if disk:
        (tmp_path / "disk").touch()
    with serving("http1", tmp_path, workers=PROCESSES) as server:
        path = server.store(NAME, BODY)

        async def ask_at_once() -> list[bytes]:
            with server.holding():
                asking = [asyncio.create_task(fetch(server.port, path)) for _ in range(100)]
                await asyncio.to_thread(wait_until, lambda: server.reads(NAME), "a read")
                refused = await asyncio.gather(*(fetch(server.port, "/t/") for _ in range(100)))
                assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in refused)
            return await asyncio.gather(*asking)

        answers = asyncio.run(ask_at_once())
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        assert all(answer.endswith(BODY) for answer in answers)
        assert 1 <= server.reads(NAME) <= most_reads
