import asyncio
import threading
from pathlib import Path

from tests.server.origin.served import OBJECTS, SEGMENT, granian, path_of, put, wait_until


def test_hit_is_answered_while_the_event_loop_is_busy(tmp_path: Path) -> None:
    asyncio.run(put(tmp_path, OBJECTS))
    hit, miss = "720p/00001-1.m4s", "720p/init-1.mp4"
    with granian("rsgi", tmp_path) as server:
        assert server.ask(path_of(hit)).body == SEGMENT
        with server.holding("block"):
            asking = threading.Thread(target=server.ask, args=(path_of(miss),))
            asking.start()
            wait_until(lambda: server.reads(miss), "the read that blocks the loop has begun")
            assert [server.ask(path_of(hit)).status for _ in range(3)] == [200] * 3
            assert server.ask(path_of(hit, token="none")).status == 403
        asking.join()
        assert server.ask(path_of(miss)).body == OBJECTS[miss]
        assert server.reads(hit) == server.reads(miss) == 1
