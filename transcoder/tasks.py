"""How a title's plan is cut into tasks, and what is left to do of one."""

from collections.abc import Sequence
from dataclasses import dataclass

from media.commit import AUDIO, VIDEO, Commit, task_name
from media.plan import Chunk, Plan
from stores.jobs.base import Task

AUDIO_TASK = "audio"


@dataclass(frozen=True, slots=True)
class Work:
    """A task's part of the plan. `chunk` is the run of segments that it makes."""

    kind: str
    renditions: tuple[str, ...]
    chunk: Chunk

    def missing(self, commits: Sequence[Commit]) -> dict[int, str]:
        """The commit of each segment number that is not among `commits`."""
        done = {commit.task for commit in commits}
        first, count = self.chunk.first_segment, self.chunk.segment_count
        names = {number: task_name(self.kind, number) for number in range(first, first + count)}
        return {number: name for number, name in names.items() if name not in done}


def title_tasks(plan: Plan) -> tuple[Task, ...]:
    """The start of the title first: its sound goes with the first chunk."""
    tasks = [Task(f"video-{chunk.index:05d}", urgency=chunk.index) for chunk in plan.chunks()]
    if plan.audio is not None:
        tasks.append(Task(AUDIO_TASK, urgency=0))
    return tuple(tasks)


def task_work(plan: Plan, task: Task) -> Work:
    if task.name == AUDIO_TASK:
        assert plan.audio is not None
        names = tuple(rung.name for rung in plan.audio.rungs)
        return Work(AUDIO, names, Chunk(0, 0, plan.segment_count))
    assert plan.video is not None
    names = tuple(rung.name for rung in plan.video.rungs)
    return Work(VIDEO, names, plan.chunks()[int(task.name.removeprefix("video-"))])


def narrowed(chunk: Chunk, missing: Sequence[int]) -> Chunk:
    """The run from the first missing segment to the last: what another run of the task has
    committed at either end is not encoded again. Segments start with closed GOPs, so it makes no
    difference to a decoder where the encoding began."""
    return Chunk(chunk.index, min(missing), max(missing) - min(missing) + 1)
