from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.playback import (
    FIRST_BIT_RATE,
    MEASURED,
    STARTUP_BUFFER_S,
    Playhead,
    State,
    Throughput,
    choose,
)
from bench.load.playlists import Variant

VARIANTS = [
    Variant(f"{height}", bandwidth, height, None)
    for height, bandwidth in ((360, 800_000), (480, 1_400_000), (720, 2_800_000), (1080, 5_000_000))
]


def playing(until_s: float = 10, *, complete: bool = False) -> Playhead:
    head = Playhead(0)
    head.append(until_s, 0, complete=complete)
    assert head.state is State.PLAYING
    return head


def test_start_up_is_the_time_until_there_is_enough() -> None:
    head = Playhead(100)
    head.append(STARTUP_BUFFER_S / 2, 101, complete=False)
    assert head.state is State.STARTING
    head.append(STARTUP_BUFFER_S, 102, complete=False)
    assert (head.state, head.startup_s) == (State.PLAYING, 2)


def test_short_title_starts_when_it_is_complete() -> None:
    assert playing(0.2, complete=True).startup_s == 0


def test_buffer_that_runs_out_is_rebuffering_from_that_moment_on() -> None:
    head = playing(10)
    head.advance(4)
    assert (head.position_s, head.buffer_s) == (4, 6)
    head.advance(15)
    assert (head.state, head.position_s, head.played_s) == (State.REBUFFERING, 10, 10)
    head.append(10 + STARTUP_BUFFER_S / 2, 16, complete=False)
    assert head.state is State.REBUFFERING
    head.append(20, 17, complete=False)
    assert (head.state, head.rebufferings_s) == (State.PLAYING, [7])
    head.advance(18)
    assert head.played_s == 11


def test_end_is_no_rebuffering() -> None:
    head = playing(10, complete=True)
    head.advance(60)
    assert (head.state, head.played_s, head.rebufferings_s) == (State.ENDED, 10, [])


def test_jump_is_neither_played_nor_rebuffering() -> None:
    head = playing(10)
    head.seek(50, 2)
    head.advance(7)
    assert (head.state, head.position_s) == (State.SEEKING, 50)
    head.append(56, 8, complete=False)
    head.advance(9)
    assert (head.position_s, head.played_s, head.rebufferings_s) == (51, 3, [])
    assert head.startup_s == 0


@pytest.mark.parametrize("end", [lambda head: head.seek(0, 14), lambda head: head.leave(14)])
def test_rebuffering_that_a_viewer_does_not_wait_out_counts(
    end: Callable[[Playhead], None],
) -> None:
    head = playing(10)
    head.advance(12)
    end(head)
    assert head.rebufferings_s == [4]


def test_paused_time_is_not_played() -> None:
    head = playing(10)
    head.pause(2)
    head.resume(60)
    head.advance(61)
    assert (head.state, head.position_s, head.played_s) == (State.PLAYING, 3, 3)


def test_viewer_who_leaves_before_the_start_has_waited() -> None:
    head = Playhead(0)
    head.leave(9)
    assert head.startup_s == 9


STEPS = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from(["advance", "append", "seek", "pause", "resume"]),
        st.floats(0, 100),
        st.booleans(),
    ),
    max_size=30,
)


@given(STEPS)
def test_time_is_played_or_waited_and_never_both(
    steps: list[tuple[float, str, float, bool]],
) -> None:
    head, now_s = Playhead(0), 0.0
    for elapsed_s, action, value_s, complete in steps:
        now_s += elapsed_s
        if action == "append":
            head.append(value_s, now_s, complete=complete)
        elif action == "seek":
            head.seek(value_s, now_s)
        else:
            getattr(head, action)(now_s)
        assert head.buffer_s >= 0
    head.leave(now_s)
    waited_s = (head.startup_s or 0) + sum(head.rebufferings_s)
    assert head.played_s + waited_s <= now_s + 1e-6
    assert min([head.played_s, *head.rebufferings_s], default=0) >= 0


def test_throughput_is_the_harmonic_mean_of_the_last_downloads() -> None:
    throughput = Throughput()
    assert throughput.bit_rate == FIRST_BIT_RATE
    throughput.add(1_000_000, 1)
    throughput.add(1_000_000, 3)
    assert throughput.bit_rate == pytest.approx(4_000_000)
    for _ in range(MEASURED):
        throughput.add(500_000, 1)
    assert throughput.bit_rate == pytest.approx(4_000_000)
    throughput.add(10**9, 0)
    assert throughput.bit_rate < 10**7


@pytest.mark.parametrize(
    ("bit_rate", "screen", "height"),
    [
        (10**9, 1080, 1080),
        (10**9, 480, 480),
        (10**9, 100, 360),
        (4_100_000, 1080, 720),
        (3_900_000, 1080, 480),
        (1, 1080, 360),
    ],
)
def test_rung_is_what_the_throughput_carries_and_the_screen_shows(
    bit_rate: float, screen: int, height: int
) -> None:
    assert choose(VARIANTS, bit_rate, screen).height == height


def test_sound_alone_has_no_height() -> None:
    rungs = [Variant("low", 64_000, None, None), Variant("high", 192_000, None, None)]
    assert choose(rungs, 10**6, 360).url == "high"
