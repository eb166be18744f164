import itertools
from fractions import Fraction
from pathlib import Path

import pytest

from bench.sim.titles import Stored, Track, model_library, model_package, read_package
from media.keys import INDEX
from media.playlists import (
    AlternativeAudio,
    MediaPlaylist,
    MediaSegment,
    MultivariantPlaylist,
    PlaylistType,
    Variant,
)
from server.origin import fill

TIMESCALE = 1000


def media_playlist(track: Track, starts_s: tuple[float, ...]) -> MediaPlaylist:
    lengths = [end - start for start, end in itertools.pairwise(starts_s)]
    segments = (
        MediaSegment(round(length * TIMESCALE), Path(name).name)
        for name, length in zip(track.segments, lengths, strict=True)
    )
    return MediaPlaylist(6, PlaylistType.VOD, Path(track.init).name, TIMESCALE, tuple(segments))


def test_read_package_reads_what_a_package_says(tmp_path: Path) -> None:
    model = model_package(60)
    assert model.audio is not None
    tracks = [*model.rungs, model.audio]
    for name, size in model.sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    for track in tracks:
        text = media_playlist(track, model.starts_s).render()
        (tmp_path / track.playlist).write_text(text)
    first, *others = model.rungs[model.start_rung :] + model.rungs[: model.start_rung]
    variants = tuple(
        Variant(
            track.peak_bit_rate, 1, ("avc1.64001f",), track.playlist, (640, 360), Fraction(30), "a"
        )
        for track in [first, *others]
    )
    audio = AlternativeAudio("a", "Audio", "und", 2, model.audio.playlist)
    (tmp_path / INDEX).write_text(MultivariantPlaylist(variants, (audio,), growing=False).render())

    found = read_package(tmp_path)
    assert found.rungs == model.rungs
    assert found.audio is not None
    assert found.audio.segments == model.audio.segments
    assert found.starts_s == model.starts_s
    assert found.start_rung == model.start_rung
    assert found.sizes == {name: (tmp_path / name).stat().st_size for name in model.sizes}


@pytest.mark.parametrize(
    ("name", "growing", "cache_control"),
    [
        ("index.m3u8", False, fill.FINAL),
        ("720p/playlist.m3u8", True, fill.GROWING),
        (f"720p/init-{0:016x}.mp4", True, fill.IMMUTABLE),
        (f"audio/00003-{0:016x}.m4s", False, fill.IMMUTABLE),
    ],
)
def test_library_says_what_the_origin_would_send(
    name: str, growing: bool, cache_control: str
) -> None:
    library = model_library({60: 1.0}, 3, growing_share=float(growing))
    title = library.titles[2]
    assert library.stored(f"{title.prefix}/{name}") == Stored(
        title.package.sizes[name], cache_control
    )


def test_no_segment_of_the_model_exceeds_its_rungs_ceiling() -> None:
    package = model_package(600)
    for track in package.rungs:
        lengths = [end - start for start, end in itertools.pairwise(package.starts_s)]
        for name, length_s in zip(track.segments, lengths, strict=True):
            assert 0 < package.sizes[name] <= track.peak_bit_rate * length_s / 8
