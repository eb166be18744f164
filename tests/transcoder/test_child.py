import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from stores.jobs.base import TaskFailed
from tests.transcoder import child_work
from tests.transcoder.encoding import LocalFile
from transcoder import forkserver, landlock
from transcoder.child import ChildBroke, ChildLost, Children
from transcoder.messages import MediaSegment, Message, Opened
from transcoder.work import Limits

LIMITS = Limits(time_s=30, cpu_s=30)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    children.start()
    yield children
    children.close()


async def told(
    children: Children, function: Callable[..., None], *arguments: object, limits: Limits = LIMITS
) -> list[Message]:
    async with children.run(function, *arguments, limits=limits) as messages:
        return [message async for message in messages]


def texts(messages: list[Message]) -> list[str]:
    return [message.reason for message in messages if isinstance(message, Opened)]


def failure_of(children: Children, function: Callable[..., None], *arguments: object) -> TaskFailed:
    with pytest.raises(TaskFailed) as failed:
        asyncio.run(told(children, function, *arguments))
    return failed.value


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.01)


def test_messages_come_in_order_and_whole(children: Children) -> None:
    size = 3 << 20
    messages = asyncio.run(told(children, child_work.stream, 20, size))
    assert [m.number for m in messages if isinstance(m, MediaSegment)] == list(range(20))
    assert all(isinstance(m, MediaSegment) and len(m.data) == size for m in messages)


def test_children_run_side_by_side(children: Children) -> None:
    async def several() -> list[list[Message]]:
        return await asyncio.gather(
            *(told(children, child_work.answer, str(number)) for number in range(20))
        )

    assert [texts(messages) for messages in asyncio.run(several())] == [
        [str(number)] for number in range(20)
    ]


def test_child_has_no_environment_and_no_files_of_the_worker(
    children: Children, tmp_path: Path
) -> None:
    with (tmp_path / "secret").open("w"):
        (text,) = texts(asyncio.run(told(children, child_work.describe)))
    niceness = min(os.nice(0) + LIMITS.niceness, 19)
    names, _, rest = text.partition("] ")
    assert set(literal_eval(names + "]")) <= {"LC_CTYPE", "PYTHONPATH"}
    assert rest == f"[0, 1, 2, 3] {niceness}"


@pytest.mark.parametrize(
    ("number", "retryable", "message"),
    [
        (signal.SIGSEGV, False, "SIGSEGV"),
        (signal.SIGABRT, False, "SIGABRT"),
        (signal.SIGKILL, True, "memory ran out"),
    ],
)
def test_crash_is_a_failure(children: Children, number: int, retryable: bool, message: str) -> None:
    failed = failure_of(children, child_work.die, number)
    assert (failed.failure.code, failed.failure.retryable) == ("decoder_crashed", retryable)
    assert message in failed.failure.message


def test_rejection_is_passed_on(children: Children) -> None:
    failed = failure_of(children, child_work.reject)
    assert (failed.failure.code, failed.failure.message) == ("not_media", "a text file")


def test_bug_with_much_to_say_is_told_in_part(children: Children) -> None:
    with pytest.raises(ChildBroke, match="the last word"):
        asyncio.run(told(children, child_work.ramble))


@pytest.mark.parametrize("function", [child_work.stumble, child_work.leave])
def test_bug_is_not_a_verdict_on_the_file(
    children: Children, function: Callable[..., None]
) -> None:
    with pytest.raises(ChildBroke):
        asyncio.run(told(children, function))


def test_nonsense_is_refused(children: Children) -> None:
    assert failure_of(children, child_work.talk_nonsense).failure.code == "decoder_crashed"


def test_memory_is_bounded(children: Children) -> None:
    limits = Limits(time_s=30, cpu_s=30, address_space_bytes=2 << 30)
    with pytest.raises(TaskFailed) as failed:
        asyncio.run(told(children, child_work.allocate, 3 << 30, limits=limits))
    assert failed.value.failure.code == "too_demanding"


def test_processor_time_is_bounded(children: Children) -> None:
    with pytest.raises(TaskFailed, match="processor time"):
        asyncio.run(told(children, child_work.spin, limits=Limits(time_s=60, cpu_s=1)))


def test_child_cannot_write_files(children: Children, tmp_path: Path) -> None:
    with pytest.raises(ChildBroke, match="File too large"):
        asyncio.run(told(children, child_work.write_file, str(tmp_path / "x")))


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_child_has_no_files_but_its_source(children: Children, tmp_path: Path) -> None:
    source, key = tmp_path / "source", tmp_path / "key"
    for path in (source, key):
        path.write_bytes(b"secret")
    work = told(children, child_work.intrude, LocalFile(str(source)), key)
    assert texts(asyncio.run(work)) == [", ".join(["6 bytes"] + ["refused"] * 8)]
    assert key.read_bytes() == b"secret"


@dataclass(frozen=True, slots=True)
class DistantFile(LocalFile):
    """As if it were read over the network."""

    tcp_port: int | None = None

    def port(self) -> int | None:
        return self.tcp_port


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock knows no network")
@pytest.mark.parametrize("own", [None, 0, 1])
def test_child_connects_to_nothing_but_its_source(
    children: Children, tmp_path: Path, own: int | None
) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        ports = [server.getsockname()[1] for server in (a, b)]
        source = DistantFile(str(path), None if own is None else ports[own])
        work = told(children, child_work.call, source, ports)
        assert texts(asyncio.run(work)) == [str([] if own is None else [ports[own]])]


def test_time_is_bounded(children: Children) -> None:
    with pytest.raises(TaskFailed) as failed:
        asyncio.run(told(children, child_work.hang, limits=Limits(time_s=0.3, cpu_s=30)))
    assert failed.value.failure.code == "too_slow"


def test_cancellation_kills_and_reaps(children: Children) -> None:
    async def cancelled() -> int:
        pids: asyncio.Queue[int] = asyncio.Queue()

        async def work() -> None:
            async with children.run(child_work.hang, limits=LIMITS) as messages:
                async for message in messages:
                    assert isinstance(message, Opened)
                    pids.put_nowait(int(message.reason))

        task = asyncio.create_task(work())
        pid = await pids.get()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return pid

    assert is_gone(asyncio.run(cancelled()))


def test_leaving_early_kills(children: Children) -> None:
    async def first() -> int:
        async with children.run(child_work.hang, limits=LIMITS) as messages:
            async for message in messages:
                assert isinstance(message, Opened)
                return int(message.reason)
        raise AssertionError("no message")

    assert is_gone(asyncio.run(first()))


def test_processor_time_of_every_ended_child_is_told() -> None:
    async def killed(counted: Children) -> None:
        async with counted.run(child_work.hang, limits=LIMITS) as messages:
            await anext(messages)

    spent: list[float] = []
    with closing(Children(spent.append)) as counted:
        (own,) = texts(asyncio.run(told(counted, child_work.burn, 0.5)))
        assert 0.5 <= float(own) <= sum(spent)
        asyncio.run(killed(counted))
        assert len(spent) == 2


def fork_server() -> psutil.Process:
    (server,) = [
        process
        for process in psutil.Process().children()
        if "transcoder.forkserver" in process.cmdline()
    ]
    return server


def test_fork_server_that_died_is_replaced(children: Children) -> None:
    asyncio.run(told(children, child_work.answer, "before"))
    server = fork_server()
    server.kill()
    server.wait()
    assert texts(asyncio.run(told(children, child_work.answer, "after"))) == ["after"]


def test_children_lost_with_the_fork_server_can_run_again_at_once(children: Children) -> None:
    async def lost() -> None:
        with pytest.raises(ChildLost):
            async with children.run(child_work.hang, limits=LIMITS) as messages:
                async for _ in messages:
                    fork_server().kill()
        assert texts(await told(children, child_work.answer, "again")) == ["again"]

    for _ in range(5):
        asyncio.run(lost())


def test_fork_server_short_of_descriptors_keeps_its_children(children: Children) -> None:
    async def scenario() -> None:
        async with children.run(child_work.hang, limits=LIMITS) as messages:
            async for _ in messages:
                server = fork_server()
                usual = server.rlimit(psutil.RLIMIT_NOFILE)
                server.rlimit(psutil.RLIMIT_NOFILE, (server.num_fds(), usual[1]))
                with pytest.raises(ChildLost):
                    await told(children, child_work.answer, "never")
                server.rlimit(psutil.RLIMIT_NOFILE, usual)
                assert texts(await told(children, child_work.answer, "again")) == ["again"]
                assert fork_server() == server
                break

    asyncio.run(scenario())


def test_refused_fork_closes_what_was_meant_for_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    worker, control = socket.socketpair(type=socket.SOCK_SEQPACKET)
    channel, channel_end = socket.socketpair()
    status, status_end = os.pipe()
    with worker, control, channel, os.fdopen(status, "rb") as read_status:
        command = forkserver.COMMAND.pack(forkserver.FORK, 1)
        socket.send_fds(worker, [command], [channel_end.fileno(), status_end])
        channel_end.close()
        os.close(status_end)
        assert forkserver.obey(control, {})
        assert (channel.recv(1), read_status.read()) == (b"", b"")


def test_fork_server_that_cannot_start_is_not_a_verdict_on_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    broken = Children()
    for _ in range(3):
        with pytest.raises(ChildBroke):
            asyncio.run(told(broken, child_work.answer, "never"))
    broken.close()


WORKER = """
import asyncio
from tests.transcoder import child_work
from transcoder.child import Children
from transcoder.work import Limits

async def main():
    children = Children()
    async with children.run(child_work.hang, limits=Limits(time_s=60, cpu_s=60)) as messages:
        async for message in messages:
            print(message.reason, flush=True)

asyncio.run(main())
"""


def test_children_die_with_a_killed_worker() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        worker.kill()
    wait_until_gone(pid)
