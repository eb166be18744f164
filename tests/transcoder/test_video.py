import io
import random
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from media.plan import Chunk, Colour, Orientation, Plan, ToneMap
from stores.jobs.base import TaskFailed
from tests.transcoder.encoding import LocalFile, encoded_video, joined, numbers, planned, probed
from tests.transcoder.running import CLIPS
from tests.transcoder.sources import constant, picture, write_video
from transcoder.messages import InitSegment, MediaSegment, Message
from transcoder.video import encode_chunk

MILLISECOND = Fraction(1, 1000)
FAST = {"preset": "ultrafast", "g": "40"}
REORDERED = {"preset": "ultrafast", "g": "60", "bf": "3", "x264-params": "open-gop=1"}
INTERLACED = {"preset": "ultrafast", "g": "50", "x264-params": "interlaced=1"}


def phone_times(count: int) -> list[Fraction]:
    """Variable rate: mostly 30/s, with the gaps and bursts of phone recordings."""
    chance = random.Random(1)
    times = [Fraction(0)]
    while len(times) < count:
        times.append(times[-1] + chance.choice([33, 33, 33, 34, 185, 50, 16]) * MILLISECOND)
    return times


SOURCES: dict[str, Callable[[Path], Path]] = {
    "cfr.mp4": lambda path: write_video(path, constant(300, 30), options=FAST),
    "open-gop.mp4": lambda path: write_video(path, constant(300, 30), options=REORDERED),
    "open-gop.mkv": lambda path: write_video(path, constant(300, 30), options=REORDERED),
    "vfr.mp4": lambda path: write_video(path, phone_times(240), options=REORDERED),
    "vfr.mkv": lambda path: write_video(
        path, phone_times(240), options=REORDERED, time_base=MILLISECOND
    ),
    "late-start.mkv": lambda path: write_video(path, constant(240, 25, Fraction(10)), options=FAST),
    "ntsc.mp4": lambda path: write_video(path, constant(500, Fraction(60000, 1001)), options=FAST),
    "slides.mp4": lambda path: write_video(path, constant(10, 1), options=FAST),
    "fragmented.mp4": lambda path: write_video(
        path,
        constant(300, 30),
        options=FAST,
        container_options={"movflags": "frag_keyframe+empty_moov"},
    ),
    "hevc.mp4": lambda path: write_video(
        path,
        constant(300, 30),
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=0:keyint=60:bframes=4"},
    ),
    "vp9.webm": lambda path: write_video(
        path, constant(240, 30), codec="libvpx-vp9", options={"deadline": "realtime", "g": "60"}
    ),
    "refreshed.mp4": lambda path: write_video(
        path,
        constant(300, 30),
        options={"preset": "ultrafast", "g": "60", "x264-params": "intra-refresh=1"},
    ),
    "interlaced.mp4": lambda path: write_video(path, constant(200, 25), options=INTERLACED),
}


@pytest.mark.parametrize("name", SOURCES)
def test_chunks_show_the_frames_of_one_pass(tmp_path: Path, name: str) -> None:
    clip = SOURCES[name](tmp_path / name)
    plan = planned(clip)
    assert plan.video is not None
    assert plan.video.seekable
    assert len(plan.chunks()) > 2
    once: list[Message] = []
    encode_chunk(once.append, LocalFile(str(clip)), plan, Chunk(0, 0, plan.segment_count))
    chunked = numbers(encoded_video(clip, plan), "180p")
    assert len(chunked) == plan.video.frame_count
    assert chunked == numbers(once, "180p")


@pytest.mark.parametrize("name", ["cfr.mp4", "open-gop.mkv", "ntsc.mp4", "interlaced.mp4"])
def test_constant_rate_keeps_every_frame(tmp_path: Path, name: str) -> None:
    clip = SOURCES[name](tmp_path / name)
    shown = numbers(encoded_video(clip, planned(clip)), "90p")
    count = shown[-1] + 1
    assert shown[:count] == list(range(count))
    assert len(shown) - count <= 1  # the file may say that the last one lasts longer


def test_variable_rate_holds_and_drops_by_the_nearest_slot(tmp_path: Path) -> None:
    times = phone_times(120)
    clip = write_video(tmp_path / "vfr.mp4", times, options=REORDERED)
    plan = planned(clip)
    assert plan.video is not None
    slots = [plan.video.rate.slot(time) for time in times]
    expected = [
        max(number for number, own in enumerate(slots) if own <= slot)
        for slot in range(plan.video.frame_count)
    ]
    assert numbers(encoded_video(clip, plan), "90p") == expected


IN_ORDER: dict[str, Callable[[Path], Path]] = {
    "a.ts": lambda path: write_video(path, constant(150, 25, Fraction(10)), options=REORDERED),
    "a.mpg": lambda path: write_video(
        path,
        constant(150, 25),
        codec="mpeg2video",
        options={"bf": "2", "b": "2M"},
        time_base=Fraction(1, 25),
    ),
    "a.avi": lambda path: write_video(
        path, constant(150, 25), codec="mpeg4", options={"bf": "2"}, time_base=Fraction(1, 25)
    ),
    "mjpeg.avi": lambda path: write_video(
        path, constant(150, 25), codec="mjpeg", pix_fmt="yuvj420p", time_base=Fraction(1, 25)
    ),
    "a.flv": lambda path: write_video(path, constant(150, 25), options=FAST),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_source_that_cannot_be_sought_is_one_chunk(tmp_path: Path, name: str) -> None:
    clip = IN_ORDER[name](tmp_path / name)
    plan = planned(clip)
    assert len(plan.chunks()) == 1
    assert numbers(encoded_video(clip, plan), "90p") == list(range(150))


def test_size_that_changes_midway_keeps_the_frame(tmp_path: Path) -> None:
    parts = [
        write_video(
            tmp_path / f"{n}.ts",
            constant(60, 30, Fraction(2 * n)),
            numbers=range(60 * n, 60 * n + 60),
            size=size,
            options=FAST,
            container_options={"mpegts_copyts": "1", "muxdelay": "0"},
        )
        for n, size in enumerate([(320, 180), (640, 360), (160, 90)])
    ]
    clip = tmp_path / "joined.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    plan = planned(clip)
    said = encoded_video(clip, plan)
    assert numbers(said, "180p") == list(range(180))


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuv444p", "gbrp"])
def test_other_pixel_formats_become_420(tmp_path: Path, pix_fmt: str) -> None:
    codec = "libx264rgb" if pix_fmt == "gbrp" else "libx264"
    pix_fmt = "rgb24" if pix_fmt == "gbrp" else pix_fmt
    clip = write_video(
        tmp_path / "a.mkv", constant(30, 30), codec=codec, options=FAST, pix_fmt=pix_fmt
    )
    said = encoded_video(clip, planned(clip))
    assert numbers(said, "180p") == list(range(30))
    with av.open(io.BytesIO(joined(said, "180p")), "r") as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_alpha_is_dropped(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mov", constant(10, 10), codec="qtrle", pix_fmt="argb")
    assert numbers(encoded_video(clip, planned(clip)), "180p") == list(range(10))


def test_segments_lie_on_the_grid(tmp_path: Path) -> None:
    clip = SOURCES["ntsc.mp4"](tmp_path / "ntsc.mp4")
    plan = planned(clip)
    assert plan.video is not None
    ticks = plan.video.rate.frame_ticks
    said = encoded_video(clip, plan)
    for rung in plan.video.rungs:
        segments = [m for m in said if isinstance(m, MediaSegment) and m.rendition == rung.name]
        found = [(s.number, s.decode_time, s.duration, s.sample_count) for s in segments]
        assert found == [
            (number, start * ticks, (end - start) * ticks, end - start)
            for number, (start, end) in enumerate(pairwise(plan.video_boundaries))
        ]
        assert all(segment.starts_with_idr for segment in segments)


def test_each_segment_decodes_alone(tmp_path: Path) -> None:
    clip = SOURCES["open-gop.mp4"](tmp_path / "open-gop.mp4")
    plan = planned(clip)
    said = encoded_video(clip, plan)
    init = next(m.data for m in said if isinstance(m, InitSegment) and m.rendition == "90p")
    for segment in said:
        if isinstance(segment, MediaSegment) and segment.rendition == "90p":
            with av.open(io.BytesIO(init + segment.data), "r") as container:
                frames = sum(1 for _ in container.decode(video=0))
            assert frames == segment.sample_count


def test_key_frames_are_two_seconds_apart(tmp_path: Path) -> None:
    clip = SOURCES["cfr.mp4"](tmp_path / "cfr.mp4")
    plan = planned(clip)
    with av.open(io.BytesIO(joined(encoded_video(clip, plan), "90p")), "r") as container:
        pts = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.pts is not None]
    keys = [ticks * 30 // 90_000 for ticks, is_key in sorted(pts) if is_key]
    assert keys == [0, 30, 90, 150, 210, 270]


MATRICES = {
    Orientation.UPRIGHT: (1, 0, 0, 1),
    Orientation.MIRROR: (-1, 0, 0, 1),
    Orientation.FLIP: (1, 0, 0, -1),
    Orientation.HALF_TURN: (-1, 0, 0, -1),
    Orientation.CLOCKWISE: (0, 1, -1, 0),
    Orientation.COUNTERCLOCKWISE: (0, -1, 1, 0),
    Orientation.TRANSPOSE: (0, 1, 1, 0),
    Orientation.TRANSVERSE: (0, -1, -1, 0),
}


def turned(shown: np.ndarray, orientation: Orientation) -> np.ndarray:
    """What a display matrix does to a picture, by the pixel: (x', y') = (ax + cy, bx + dy)."""
    a, b, c, d = MATRICES[orientation]
    height, width = shown.shape
    y, x = np.mgrid[:height, :width]
    new_x, new_y = a * x + c * y, b * x + d * y
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    result = np.empty((new_y.max() + 1, new_x.max() + 1), shown.dtype)
    result[new_y, new_x] = shown
    return result


@pytest.mark.parametrize("orientation", MATRICES)
def test_orientation_is_applied(tmp_path: Path, orientation: Orientation) -> None:
    a, b, c, d = (value << 16 for value in MATRICES[orientation])
    number = 0b0000_0101_0001_1111  # no symmetry
    clip = write_video(
        tmp_path / "turned.mp4",
        constant(number + 1, 30)[-1:],
        options=FAST,
        numbers=[number],
        display_matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30),
    )
    plan = planned(clip)
    assert plan.video is not None
    assert plan.video.orientation is orientation
    with av.open(io.BytesIO(joined(encoded_video(clip, plan), "180p")), "r") as container:
        found = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    upright = turned(picture(number).to_ndarray(), orientation)
    rows = np.linspace(0, upright.shape[0] - 1, found.shape[0]).round().astype(int)
    columns = np.linspace(0, upright.shape[1] - 1, found.shape[1]).round().astype(int)
    assert np.abs(found - upright[np.ix_(rows, columns)]).mean() < 12


def test_odd_size_and_wide_pixels(tmp_path: Path) -> None:
    plan = planned(CLIPS / "odd-161x121-vp9.webm")
    assert plan.video is not None
    assert [(rung.width, rung.height) for rung in plan.video.rungs] == [(160, 120), (120, 90)]
    plan = planned(CLIPS / "anamorphic-sar2x1-no-audio.mp4")
    assert plan.video is not None
    assert (plan.video.rungs[0].width, plan.video.rungs[0].height) == (320, 90)


@pytest.mark.parametrize(("full_range", "expected"), [(True, 16 + 100 * 219 / 255), (False, 100)])
def test_full_range_is_converted(tmp_path: Path, full_range: bool, expected: float) -> None:
    path = tmp_path / "range.mp4"
    tags = ["-color_range", "pc" if full_range else "tv"]
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "64x64"),
            *("-i", "-", "-vf", "scale=in_range=tv:out_range=tv", "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-crf", "4", *tags, str(path)),
        ],
        input=(bytes([100]) * 64 * 64 + bytes([128]) * 64 * 32) * 25,
        check=True,
    )
    with av.open(io.BytesIO(joined(encoded_video(path, planned(path)), "64p")), "r") as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].codec_context.color_range == 1
    luma = bytes(frame.planes[0])[:64]
    assert sum(luma) / 64 == pytest.approx(expected, abs=1.5)


def test_hdr_is_mapped_to_sdr() -> None:
    for name, kind in (("hdr10-av1-59.94.mp4", ToneMap.PQ), ("hdr-hlg10-hevc.mp4", ToneMap.HLG)):
        plan = planned(CLIPS / name)
        assert plan.video is not None
        assert (plan.video.tone_map, plan.video.colour) == (kind, Colour(1, 1, 1))
        mapped = first_luma(CLIPS / name, plan)
        assert plan.video is not None
        plain = replace(plan, video=replace(plan.video, tone_map=ToneMap.NONE))
        assert mapped.std() > first_luma(CLIPS / name, plain).std()  # plain is washed out
        assert 30 < mapped.mean() < 200


def first_luma(clip: Path, plan: Plan) -> np.ndarray:
    with av.open(io.BytesIO(joined(encoded_video(clip, plan), "90p")), "r") as container:
        return next(container.decode(video=0)).to_ndarray(format="gray").astype(float)


def test_colour_of_the_source_is_signalled() -> None:
    plan = planned(CLIPS / "bbb-720p25-5.1.mp4")
    assert plan.video is not None
    chunk = plan.chunks()[0]
    said: list[Message] = []
    encode_chunk(said.append, LocalFile(str(CLIPS / "bbb-720p25-5.1.mp4")), plan, chunk)
    with av.open(io.BytesIO(joined(said, "90p")), "r") as container:
        context = container.streams.video[0].codec_context
        found = (context.color_primaries, context.color_trc, context.colorspace)
    assert found == (1, 1, 1)


def test_level_is_no_higher_than_needed(tmp_path: Path) -> None:
    clip = SOURCES["cfr.mp4"](tmp_path / "cfr.mp4")
    said = encoded_video(clip, planned(clip))
    codecs = {m.rendition: m.codecs for m in said if isinstance(m, InitSegment)}
    assert int(codecs["180p"][-2:], 16) <= 13
    assert int(codecs["90p"][-2:], 16) <= 11


def with_damage(clip: Path, share: float, *, spare: int = 10) -> Path:
    """Overwrites that share of the coded pictures of an MP4, none of the first ones."""
    data = bytearray(clip.read_bytes())
    with av.open(str(clip), "r") as container:
        packets = [p for p in container.demux(video=0) if p.size and p.pos is not None][spare:]
    for packet in packets[:: max(1, round(1 / share))]:
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = struct.pack(">I", packet.size) * (
            packet.size // 4
        ) + bytes(packet.size % 4)
    damaged = clip.with_stem(f"{clip.stem}-damaged")
    damaged.write_bytes(data)
    return damaged


def test_isolated_damage_is_bridged(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", constant(300, 30), options={**FAST, "g": "15"})
    damaged = with_damage(clip, 1 / 200)
    plan = planned(damaged)
    assert plan == planned(clip)
    assert len(numbers(encoded_video(damaged, plan), "90p")) == 300


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_much_damage_is_refused_with_a_place(tmp_path: Path, share: float) -> None:
    clip = write_video(tmp_path / "a.mp4", constant(120, 30), options=FAST)
    damaged = with_damage(clip, share)
    plan = planned(damaged)
    with pytest.raises(TaskFailed, match=r"pictures .* between [\d.]+ s and [\d.]+ s") as failed:
        encoded_video(damaged, plan)
    assert not failed.value.failure.retryable


@pytest.mark.parametrize("name", ["open-gop.mp4", "ntsc.mp4", "interlaced.mp4", "a.ts", "a.avi"])
def test_chunk_begun_later_shows_the_same_frames(tmp_path: Path, name: str) -> None:
    """Where another run has committed its first segments."""
    clip = (SOURCES | IN_ORDER)[name](tmp_path / name)
    plan = planned(clip)
    whole = encoded_video(clip, plan)
    last: list[Message] = []
    only = Chunk(0, plan.segment_count - 1, 1)
    encode_chunk(last.append, LocalFile(str(clip)), plan, only)
    shown = numbers(last, "180p")
    assert shown == numbers(whole, "180p")[-len(shown) :]
    assert {m for m in last if isinstance(m, InitSegment)} <= set(whole)
    segments = [m for m in last if isinstance(m, MediaSegment) and m.rendition == "180p"]
    (end,) = (
        m
        for m in whole
        if isinstance(m, MediaSegment)
        and (m.rendition, m.number) == ("180p", plan.segment_count - 1)
    )
    assert [(m.number, m.decode_time, m.duration) for m in segments] == [
        (end.number, end.decode_time, end.duration)
    ]


def test_source_that_cannot_be_sought_says_so(tmp_path: Path) -> None:
    assert not probed(IN_ORDER["a.ts"](tmp_path / "a.ts")).seekable
