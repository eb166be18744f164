import pytest

from media.plan import Chunk
from stores.jobs.base import Task
from tests.domain.plans import make_commits, make_plan
from transcoder.tasks import narrowed, task_work, title_tasks


def test_tasks_make_every_segment_once() -> None:
    plan = make_plan(frames=30 * 100)
    made = [commit for task in title_tasks(plan) for commit in task_work(plan, task).missing(())]
    assert len(made) == 2 * plan.segment_count
    names = [
        name for task in title_tasks(plan) for name in task_work(plan, task).missing(()).values()
    ]
    assert sorted(names) == sorted(commit.task for commit in make_commits(plan))


def test_what_is_committed_is_not_missing() -> None:
    plan = make_plan(frames=30 * 100)
    work = task_work(plan, Task("video-00003", 3))
    first = work.chunk.first_segment
    commits = [commit for commit in make_commits(plan) if commit.task == f"video-{first:05d}"]
    assert work.chunk.segment_count == 2
    assert work.missing(commits) == {first + 1: f"video-{first + 1:05d}"}


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([4, 5, 6, 7], Chunk(2, 4, 4)),
        ([5, 6, 7], Chunk(2, 5, 3)),
        ([4, 5], Chunk(2, 4, 2)),
        ([5, 7], Chunk(2, 5, 3)),
        ([6], Chunk(2, 6, 1)),
    ],
)
def test_chunk_is_narrowed_to_what_is_missing(missing: list[int], expected: Chunk) -> None:
    assert narrowed(Chunk(2, 4, 4), missing) == expected
