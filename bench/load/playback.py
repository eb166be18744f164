"""What happens between a buffer and a viewer, and which rung comes next; it does no I/O and has no
clock, so that a second of it can be tested in no time."""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from statistics import harmonic_mean

from bench.load.playlists import Variant

STARTUP_BUFFER_S = 1.0  # enough to begin to play, or to go on after it ran out
TARGET_BUFFER_S = 30.0
SAFETY = 0.7  # of the throughput that was measured, what a rung may need
MEASURED = 5  # downloads that the throughput is taken from
FIRST_BIT_RATE = 1_000_000  # taken for the throughput until there is one


class State(Enum):
    STARTING = "starting"
    PLAYING = "playing"
    REBUFFERING = "rebuffering"
    SEEKING = "seeking"
    PAUSED = "paused"
    ENDED = "ended"


class Playhead:
    """Plays what is buffered, as time goes by. What a jump waits for is no rebuffering."""

    def __init__(self, now_s: float) -> None:
        self.state = State.STARTING
        self.position_s = 0.0
        self.startup_s: float | None = None
        self.played_s = 0.0
        self.rebufferings_s: list[float] = []  # those that have ended
        self._buffered_s = 0.0  # the time in the title up to which there is everything
        self._complete = False  # nothing comes after what is buffered
        self._now_s = now_s
        self._since_s = now_s  # in this state

    @property
    def buffer_s(self) -> float:
        return self._buffered_s - self.position_s

    def advance(self, now_s: float) -> None:
        elapsed_s, self._now_s = now_s - self._now_s, now_s
        if self.state is not State.PLAYING:
            return
        step_s = min(elapsed_s, self.buffer_s)
        self.position_s += step_s
        self.played_s += step_s
        if step_s < elapsed_s or self.buffer_s <= 0:
            ran_out_s = now_s - elapsed_s + step_s
            self._enter(State.ENDED if self._complete else State.REBUFFERING, ran_out_s)

    def append(self, until_s: float, now_s: float, *, complete: bool) -> None:
        self.advance(now_s)
        self._buffered_s, self._complete = max(until_s, self.position_s), complete
        enough = self.buffer_s >= STARTUP_BUFFER_S or complete
        if enough and self.state in (State.STARTING, State.REBUFFERING, State.SEEKING):
            self._play(now_s)

    def seek(self, position_s: float, now_s: float) -> None:
        self.advance(now_s)
        self.position_s = self._buffered_s = position_s
        self._complete = False
        if self.state is not State.STARTING:
            self._end_wait(now_s)
            self._enter(State.SEEKING, now_s)

    def pause(self, now_s: float) -> None:
        self.advance(now_s)
        if self.state is State.PLAYING:
            self._enter(State.PAUSED, now_s)

    def resume(self, now_s: float) -> None:
        self.advance(now_s)
        if self.state is State.PAUSED:
            self._enter(State.PLAYING, now_s)

    def leave(self, now_s: float) -> None:
        """What is waited for is given up: that long it took at least."""
        self.advance(now_s)
        self._end_wait(now_s)
        self._enter(State.ENDED, now_s)

    def _play(self, now_s: float) -> None:
        self._end_wait(now_s)
        self._enter(State.PLAYING, now_s)

    def _end_wait(self, now_s: float) -> None:
        waited_s = now_s - self._since_s
        if self.state is State.STARTING:
            self.startup_s = waited_s
        elif self.state is State.REBUFFERING:
            self.rebufferings_s.append(waited_s)

    def _enter(self, state: State, since_s: float) -> None:
        self.state, self._since_s = state, since_s


class Throughput:
    def __init__(self) -> None:
        self._measured: deque[float] = deque(maxlen=MEASURED)

    def add(self, size: int, duration_s: float) -> None:
        self._measured.append(size * 8 / max(duration_s, 0.001))

    @property
    def bit_rate(self) -> float:
        """The harmonic mean: one slow download weighs more than one quick one."""
        return harmonic_mean(self._measured) if self._measured else FIRST_BIT_RATE


def choose(variants: Sequence[Variant], bit_rate: float, max_height: int) -> Variant:
    """The highest that the throughput carries and the screen shows, else the lowest."""
    fitting = [
        variant
        for variant in variants
        if variant.bandwidth <= bit_rate * SAFETY and (variant.height or 0) <= max_height
    ]
    return fitting[-1] if fitting else variants[0]
