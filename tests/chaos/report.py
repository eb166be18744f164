"""What is told of a storm, while it goes on and after it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    estate: str
    seed: int
    titles: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    injected: dict[str, int] = field(default_factory=dict)
    client_trouble: Counter[str] = field(default_factory=Counter)
    logged: Counter[str] = field(default_factory=Counter)
    watched: dict[str, int] = field(default_factory=dict)
    ended_by_themselves: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    kept: Path | None = None  # what the machines wrote

    def counts(self) -> Iterator[Mapping[str, int]]:
        yield {f"act: {what}": count for what, count in self.acts.items()}
        yield {f"injected at {what}": count for what, count in self.injected.items()}
        yield {f"clients saw: {what}": count for what, count in self.client_trouble.items()}
        yield {f"logged: {what}": count for what, count in self.logged.items()}
        yield {f"watcher at {what}": count for what, count in self.watched.items()}
        yield {"machines that ended by themselves": len(self.ended_by_themselves)}


@dataclass
class Progress:
    """What a display shows while a storm goes on."""

    uploaded: int = 0
    settled: int = 0
    acts: int = 0
    phase: str = "starting"


Show = Callable[[Progress], None]

# What is counted in the machines' logs.
LOGGED = {
    "jobs that went to another worker": "it went to another worker",
    "late commits refused": "late commit refused",
    "waits for a store": "waits for a store",
    "jobs put back by a drain": "this worker is closing",
}
