from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from media.plan import AudioPlan, AudioRung, Plan
from stores.jobs.base import TaskFailed
from tests.transcoder.encoding import LocalFile, encoded_audio, peak_growth, planned, samples
from tests.transcoder.running import CLIPS
from tests.transcoder.sources import constant, tone, write_audio, write_video
from transcoder.audio import encode_audio
from transcoder.messages import InitSegment, MediaSegment

SECOND = 48_000
CLICK = SECOND // 50  # of a codec whose input jumps


def loud(sound: np.ndarray) -> list[tuple[int, int]]:
    """Runs of sound in samples, from the level of windows of 2 ms."""
    window = 96
    level = np.abs(sound[: len(sound) // window * window]).reshape(-1, window).max(axis=1) > 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], level.astype(int), [0]])))
    return [(int(a) * window, int(b) * window) for a, b in edges.reshape(-1, 2)]


def assert_runs(sound: np.ndarray, expected_s: list[tuple[float, float]]) -> None:
    found = [(a / SECOND, b / SECOND) for a, b in loud(sound) if b - a > CLICK]
    assert len(found) == len(expected_s), found
    for run, expected in zip(found, expected_s, strict=True):
        assert run == pytest.approx(expected, abs=0.015), found


def one_rung(sample_count: int) -> Plan:
    rung = AudioRung("audio", 64_000, 1)
    audio = AudioPlan(0, -(-sample_count // 1024) * 1024, (rung,))
    return Plan((0, 1), 6, None, audio, "ultrafast", 23)


def test_late_audio_is_padded_at_the_start(tmp_path: Path) -> None:
    clip = write_video(
        tmp_path / "late.mp4", constant(60, 30), audio=[(Fraction(3, 10), tone(SECOND))]
    )
    plan = planned(clip)
    sound = samples(encoded_audio(clip, plan), "audio")
    assert_runs(sound, [(0.3, 1.3)])


def test_audio_that_ends_early_is_padded_at_the_end(tmp_path: Path) -> None:
    clip = write_video(
        tmp_path / "early.mkv", constant(90, 30), audio=[(Fraction(0), tone(SECOND))]
    )
    plan = planned(clip)
    assert plan.audio is not None
    sound = samples(encoded_audio(clip, plan), "audio")
    assert_runs(sound, [(0, 1)])
    assert len(sound) == plan.audio.sample_count == -(-3 * SECOND // 1024) * 1024


def test_gap_is_filled_with_silence(tmp_path: Path) -> None:
    runs = [(Fraction(0), tone(SECOND)), (Fraction(2), tone(SECOND)), (Fraction(7, 2), tone(4800))]
    clip = write_audio(tmp_path / "gaps.mka", runs, codec="pcm_s16le")
    sound = samples(encoded_audio(clip, planned(clip)), "audio-128k")
    assert_runs(sound, [(0, 1), (2, 3), (3.5, 3.6)])


def test_long_gaps_keep_every_sample_in_its_place(tmp_path: Path) -> None:
    runs = [(Fraction(start), tone(SECOND)) for start in (3, 7, 19)]
    picture = constant(600, 30)
    clip = write_video(tmp_path / "gaps.mkv", picture, audio=runs, audio_codec="pcm_s16le")
    plan = planned(clip)
    assert plan.audio is not None
    sound = samples(encoded_audio(clip, plan), "audio")
    assert_runs(sound, [(3, 4), (7, 8), (19, 20)])
    assert len(sound) == plan.audio.sample_count


def test_long_gap_takes_no_memory(tmp_path: Path) -> None:
    """The resampler would take 200 MB for it."""
    runs = [(Fraction(0), tone(SECOND)), (Fraction(1200), tone(SECOND))]
    clip = write_audio(tmp_path / "gap.mka", runs, codec="pcm_s16le")
    plan = one_rung(1201 * SECOND)
    assert peak_growth(encode_audio, LocalFile(str(clip)), plan) < 48 << 20


def joined_recordings(folder: Path, starts_s: list[int]) -> tuple[Path, Plan]:
    """A second of sound at each time, and a plan of 10 s for them."""
    parts = [
        write_audio(folder / f"{n}.ts", [(Fraction(start), tone(SECOND))], codec="mp2")
        for n, start in enumerate(starts_s)
    ]
    clip = folder / "joined.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(parts[0])) as container:
        start = Fraction(container.start_time or 0, av.time_base)
    return clip, replace(one_rung(10 * SECOND), origin=(start.numerator, start.denominator))


def test_jump_that_comes_back_goes_on_without_a_cut(tmp_path: Path) -> None:
    clip, plan = joined_recordings(tmp_path, [0, 5, 1])
    assert_runs(samples(encoded_audio(clip, plan), "audio"), [(0, 1), (5, 6), (6, 7)])


def test_sound_past_the_end_is_dropped_and_what_follows_it_kept(tmp_path: Path) -> None:
    clip, plan = joined_recordings(tmp_path, [0, 8000, 3])
    assert_runs(samples(encoded_audio(clip, plan), "audio"), [(0, 1), (3, 4)])


def test_one_packet_as_large_as_the_file_is_resampled_in_pieces(tmp_path: Path) -> None:
    """4 million samples at 4 kHz in one packet: a gigabyte when resampled at once."""
    clip = tmp_path / "large.mka"
    with av.open(str(clip), "w") as output:
        stream = output.add_stream("pcm_u8", rate=4000, layout="mono")
        packet = Packet(b"\x80" * 4_000_000)
        packet.stream, packet.pts, packet.time_base = stream, 0, Fraction(1, 4000)
        output.mux(packet)
    growth = peak_growth(encode_audio, LocalFile(str(clip)), one_rung(1000 * SECOND))
    assert growth < 96 << 20


def test_absurd_sample_rate_is_refused(tmp_path: Path) -> None:
    clip = write_audio(
        tmp_path / "slow.wav", [(Fraction(0), tone(4000))], codec="pcm_s16le", rate=8
    )
    with pytest.raises(TaskFailed, match="8 samples a second"):
        encoded_audio(clip, one_rung(10 * SECOND))


def test_source_clock_that_drifts_is_followed(tmp_path: Path) -> None:
    """Sound stamped 0.2 % slow: beeps stay where their time says, without a jump."""
    beeps = []
    for n in range(20):
        sound = np.zeros(SECOND // 2)
        sound[: SECOND // 10] = tone(SECOND // 10)
        beeps.append((Fraction(n, 2) * Fraction(1002, 1000), sound))
    clip = write_audio(tmp_path / "drift.mka", beeps, codec="pcm_s16le")
    starts = [
        a / SECOND for a, _ in loud(samples(encoded_audio(clip, planned(clip)), "audio-128k"))
    ]
    assert starts == pytest.approx([n / 2 * 1.002 for n in range(20)], abs=0.02)


def test_start_far_from_zero_becomes_media_time_0(tmp_path: Path) -> None:
    start = Fraction(10)
    clip = write_video(
        tmp_path / "start.ts",
        constant(60, 30, start),
        audio=[(start + Fraction(1, 2), tone(SECOND))],
    )
    sound = samples(encoded_audio(clip, planned(clip)), "audio")
    assert_runs(sound, [(0.5, 1.5)])


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.wav", "pcm_s16le", 44_100),
        ("a.wav", "pcm_s24le", 96_000),
        ("a.flac", "flac", 22_050),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.ogg", "flac", 44_100),
        ("a.opus", "libopus", 48_000),
        ("a.m4a", "aac", 32_000),
        ("a.aac", "aac", 48_000),
        ("a.mka", "ac3", 48_000),
        ("a.aiff", "pcm_s16be", 8_000),
    ],
)
def test_container_and_codec(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    sound = np.concatenate([np.zeros(rate), tone(rate, rate=rate)])
    clip = write_audio(tmp_path / name, [(Fraction(0), sound)], codec=codec, rate=rate)
    plan = planned(clip)
    assert plan.video is None
    said = encoded_audio(clip, plan)
    for rung in ("audio-128k", "audio-64k"):
        ((start, end),) = loud(samples(said, rung))
        assert start / SECOND == pytest.approx(1, abs=0.06)  # MP3 and raw AAC keep their delay
        assert (end - start) / SECOND == pytest.approx(1, abs=0.03)


def test_mono_stays_mono_and_surround_becomes_stereo(tmp_path: Path) -> None:
    mono = write_audio(tmp_path / "m.wav", [(Fraction(0), tone(SECOND))], codec="pcm_s16le")
    for clip, channels in ((mono, 1), (CLIPS / "bbb-720p25-5.1.mp4", 2)):
        plan = planned(clip)
        assert plan.audio is not None
        assert {rung.channels for rung in plan.audio.rungs} == {channels}


def test_format_change_midway_keeps_time(tmp_path: Path) -> None:
    """Two MP3 files in one: 44.1 kHz mono, then 48 kHz."""
    parts = []
    for rate in (44_100, 48_000):
        sound = np.concatenate([tone(rate, rate=rate), np.zeros(rate)])
        parts.append(
            write_audio(
                tmp_path / f"{rate}.mp3", [(Fraction(0), sound)], codec="libmp3lame", rate=rate
            ).read_bytes()
        )
    clip = tmp_path / "changing.mp3"
    clip.write_bytes(b"".join(parts))
    runs = loud(samples(encoded_audio(clip, planned(clip)), "audio-128k"))
    runs = [run for run in runs if run[1] - run[0] > SECOND // 10]  # the joint itself clicks
    assert len(runs) == 2
    assert (runs[1][0] - runs[0][0]) / SECOND == pytest.approx(2, abs=0.15)


def test_segments_are_cut_at_the_planned_samples(tmp_path: Path) -> None:
    sound = tone(SECOND * 16 + 123)
    clip = write_audio(tmp_path / "long.flac", [(Fraction(0), sound)], codec="flac")
    plan = planned(clip)
    said = encoded_audio(clip, plan)
    for rung in ("audio-128k", "audio-64k"):
        segments = [m for m in said if isinstance(m, MediaSegment) and m.rendition == rung]
        found = [(s.number, s.decode_time, s.duration, s.sample_count) for s in segments]
        assert found == [
            (number, start, end - start, (end - start) // 1024)
            for number, (start, end) in enumerate(pairwise(plan.audio_boundaries))
        ]
        assert all(segment.starts_with_idr for segment in segments)
    assert [m.codecs for m in said if isinstance(m, InitSegment)] == ["mp4a.40.2"] * 2


def test_more_sound_than_planned_is_cut(tmp_path: Path) -> None:
    clip = write_audio(tmp_path / "a.wav", [(Fraction(0), tone(4 * SECOND))], codec="pcm_s16le")
    assert len(samples(encoded_audio(clip, one_rung(50 * 1024)), "audio")) == 1024 * 50
