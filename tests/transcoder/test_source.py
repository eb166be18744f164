"""Reading a source fails in the middle: what a child says then, through a real child."""

import asyncio
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from media.plan import Plan
from stores.errors import Unavailable
from stores.jobs.base import TaskFailed
from tests.transcoder.encoding import planned
from tests.transcoder.failing import FailingSource
from tests.transcoder.sources import constant, tone, write_video
from transcoder.audio import encode_audio
from transcoder.child import Children
from transcoder.messages import Message
from transcoder.probe import probe
from transcoder.video import encode_chunk
from transcoder.work import Limits

ENOUGH = 1 << 40
CODES = {"gone": "source_missing", "replaced": "source_replaced"}
WORK: dict[str, Callable[[Plan], tuple[object, ...]]] = {
    "probe": lambda plan: (),
    "video": lambda plan: (plan, plan.chunks()[-1]),
    "audio": lambda plan: (plan,),
}
FUNCTIONS: dict[str, Callable[..., None]] = {
    "probe": probe,
    "video": encode_chunk,
    "audio": encode_audio,
}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    children.start()
    yield children
    children.close()


@pytest.fixture(scope="module", params=["clip.mp4", "clip.mkv", "clip.ts"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(
        tmp_path_factory.mktemp("source") / str(request.param),
        constant(210, 30),
        options={"preset": "ultrafast", "g": "30"},
        audio=[(Fraction(0), tone(336_000))],
    )


def said(
    children: Children, kind: str, plan: Plan, source: FailingSource
) -> tuple[set[Message], Exception | None]:
    """What came before the end, and what went wrong. Rungs are encoded side by side: the order
    of what they say differs."""
    messages: set[Message] = set()

    async def listen() -> None:
        limits = Limits(time_s=60, cpu_s=60)
        arguments = (source, *WORK[kind](plan))
        async with children.run(FUNCTIONS[kind], *arguments, limits=limits) as answers:
            async for message in answers:
                messages.add(message)

    try:
        asyncio.run(listen())
    except (Unavailable, TaskFailed) as error:
        return messages, error
    return messages, None


@pytest.mark.parametrize("kind", WORK)
def test_read_that_fails_says_nothing_of_the_file(
    children: Children, clip: Path, kind: str
) -> None:
    plan = planned(clip)
    good, error = said(children, kind, plan, FailingSource(str(clip), ENOUGH, "away"))
    assert good
    assert error is None
    size = clip.stat().st_size
    outcomes = set()
    for after in (-1, 0, 1000, size // 3, size // 2, size - 1, size, 3 * size):
        found, error = said(children, kind, plan, FailingSource(str(clip), after, "away"))
        assert found <= good
        assert type(error) is Unavailable or (error is None and found == good), (after, error)
        outcomes.add(error is None)
    assert outcomes == {False, True}


@pytest.mark.parametrize("kind", WORK)
@pytest.mark.parametrize("error", CODES)
def test_source_that_is_not_the_one_any_more(
    children: Children, tmp_path: Path, kind: str, error: str
) -> None:
    clip = write_video(
        tmp_path / "clip.mp4", constant(210, 30), audio=[(Fraction(0), tone(336_000))]
    )
    plan = planned(clip)
    for after in (-1, 0, 5000, clip.stat().st_size // 2):
        _, failed = said(children, kind, plan, FailingSource(str(clip), after, error))
        assert isinstance(failed, TaskFailed)
        assert (failed.failure.code, failed.failure.retryable) == (CODES[error], False)
