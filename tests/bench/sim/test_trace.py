import itertools
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

import pytest

from bench.sim.titles import model_library
from bench.sim.trace import Audience, Request, read_trace, requests, write_trace

LENGTHS_S = {120: 0.7, 600: 0.3}
LIBRARY = model_library(LENGTHS_S, 50, zipf_exponent=1.0)


def trace(viewers: int = 60, duration_s: float = 300, edges: int = 3) -> list[Request]:
    return list(requests(LIBRARY, Audience(viewers, edges), duration_s))


def test_requests_come_in_order_of_time_and_name_objects_that_exist() -> None:
    found = trace()
    assert all(a.time_s <= b.time_s for a, b in itertools.pairwise(found))
    assert found[0].time_s >= 0
    assert found[-1].time_s < 300
    assert all(LIBRARY.stored(request.key).bytes > 0 for request in found)


def test_an_audience_is_steady_from_the_first_second() -> None:
    found = Counter(int(request.time_s // 100) for request in trace(200))
    assert max(found.values()) < 1.25 * min(found.values())


def test_a_viewer_stays_at_one_edge_and_the_edges_share_the_viewers() -> None:
    edges = defaultdict(set)
    for request in trace(200):
        edges[request.viewer].add(request.edge)
    assert {len(seen) for seen in edges.values()} == {1}
    assert set(itertools.chain(*edges.values())) == {0, 1, 2}


def test_a_segment_is_asked_for_after_its_playlist_and_init_segment() -> None:
    joined: dict[int, set[str]] = defaultdict(set)
    for request in trace():
        name, seen = PurePosixPath(request.key), joined[request.viewer]
        if name.name == "index.m3u8":
            seen.clear()
        if name.suffix == ".m4s" and str(name.parents[1] / "index.m3u8") in seen:
            assert str(name.parent / "playlist.m3u8") in seen
            assert any(key.startswith(f"{name.parent}/init-") for key in seen)
        seen.add(request.key)


def test_a_session_fetches_nothing_twice() -> None:
    """Segments are immutable: a player that seeks back has them."""
    fetched: dict[int, set[str]] = defaultdict(set)
    for request in trace():
        if request.key.endswith("index.m3u8"):
            fetched[request.viewer].clear()
        assert request.key not in fetched[request.viewer]
        fetched[request.viewer].add(request.key)


def test_popularity_is_zipfs() -> None:
    found = Counter(
        request.key.split("/")[1] for request in trace(400) if request.key.endswith("index.m3u8")
    )
    ranks = [title.prefix.split("/")[1] for title in LIBRARY.titles]
    assert found[ranks[0]] > 1.4 * found[ranks[1]] > 0
    assert found[ranks[0]] > 5 * found[ranks[9]]


def test_players_reload_the_playlists_of_a_growing_title() -> None:
    growing = model_library({600: 1.0}, 1, growing_share=1.0)
    found = Counter(
        PurePosixPath(request.key).name for request in requests(growing, Audience(20), 300)
    )
    reloads = found["playlist.m3u8"] / 2 / 20  # audio and video, per viewer
    assert 50 < reloads <= 300 / 3 + 20


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = trace(10)
    write_trace(tmp_path / "trace", found)
    again = list(read_trace(tmp_path / "trace"))
    assert [request[1:] for request in again] == [request[1:] for request in found]
    for a, b in zip(again, found, strict=True):
        assert a.time_s == pytest.approx(b.time_s, abs=0.001)


def test_read_trace_says_which_line_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("0.5 1 0 v/a/b/index.m3u8\n0.5 1 0\n")
    with pytest.raises(ValueError, match=r"line 2: expected '<time s> <viewer> <edge> <key>'"):
        list(read_trace(tmp_path / "trace"))
