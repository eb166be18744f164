import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from media.commit import Commit
from media.keys import init_name, segment_name
from stores.objects.filesystem import FilesystemObjects
from transcoder.delivery import Delivery
from transcoder.messages import (
    Finished,
    InitSegment,
    MalformedMessage,
    MediaSegment,
    Message,
)

PREFIX = "v/m1/abc/"
INITS = [InitSegment(name, f"codec-{name}", 90_000, name.encode()) for name in ("hi", "lo")]


def segment(rendition: str, number: int) -> MediaSegment:
    data = f"{rendition} {number}".encode()
    return MediaSegment(rendition, number, number * 10, 10, 1, True, data)


def delivered(folder: Path, said: Sequence[Message]) -> tuple[list[Commit], set[str]]:
    """Commits and stored keys of segments 0, 2 and 3: segment 1 was committed before."""

    async def scenario() -> tuple[list[Commit], set[str]]:
        objects = FilesystemObjects(folder)
        commits: list[Commit] = []

        async def on_commit(commit: Commit) -> None:
            stored = {info.key async for info in objects.list(PREFIX)}
            for part in commit.renditions:
                names = {part.init_name} | {segment.name for segment in part.segments}
                assert {f"{PREFIX}{part.name}/{name}" for name in names} <= stored
            commits.append(commit)

        async def messages() -> AsyncIterator[Message]:
            for message in said:
                yield message

        tasks = {number: f"video-{number:05d}" for number in (0, 2, 3)}
        try:
            delivery = Delivery(objects, PREFIX, ("hi", "lo"), tasks, on_commit)
            await delivery.take(messages())
            return commits, {info.key async for info in objects.list(PREFIX)}
        finally:
            await objects.close()

    return asyncio.run(scenario())


def test_segment_is_committed_when_all_renditions_of_it_are_stored(tmp_path: Path) -> None:
    said: list[Message] = [
        *INITS,
        *(segment(name, number) for name in ("hi", "lo") for number in (3, 0, 2)),
    ]
    commits, _ = delivered(tmp_path, said)
    done = sorted(commit.task for commit in commits)  # several are stored at a time
    assert done == ["video-00000", "video-00002", "video-00003"]
    for commit in commits:
        assert [part.name for part in commit.renditions] == ["hi", "lo"]
        assert [part.codecs for part in commit.renditions] == ["codec-hi", "codec-lo"]
        numbers = [[segment.number for segment in part.segments] for part in commit.renditions]
        assert numbers == [[int(commit.task.removeprefix("video-"))]] * 2


def test_segment_without_one_rendition_is_not_committed(tmp_path: Path) -> None:
    said: list[Message] = [
        *INITS,
        segment("hi", 0),
        segment("hi", 2),
        segment("hi", 3),
    ]
    commits, _ = delivered(tmp_path, said)
    assert commits == []


def test_what_was_committed_before_is_not_stored_again(tmp_path: Path) -> None:
    _, stored = delivered(tmp_path, [*INITS, segment("hi", 1), segment("hi", 0)])
    assert stored == {
        *(f"{PREFIX}{init.rendition}/{init_name(init.data)}" for init in INITS),
        f"{PREFIX}hi/{segment_name(0, b'hi 0')}",
    }


@pytest.mark.parametrize(
    "message",
    [
        segment("../../other", 0),
        segment("audio", 0),
        InitSegment("../hi", "", 1, b"x"),
        Finished(),
    ],
)
def test_child_cannot_write_elsewhere(tmp_path: Path, message: Message) -> None:
    with pytest.raises((MalformedMessage, ExceptionGroup)) as raised:
        delivered(tmp_path, [message])
    assert raised.group_contains(MalformedMessage)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
