import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from media.commit import Commit
from media.plan import Rung
from media.publish import Committed, publication, rank
from tests.domain.plans import make_commits, make_plan, names_of


def test_publication_grows_as_commits_arrive_in_any_order() -> None:
    plan = make_plan(frames=30 * 40)
    commits = list(make_commits(plan))
    random.Random(7).shuffle(commits)
    published: dict[str, str] = {}
    for count in range(1, len(commits) + 1):
        for key, text in publication("m", plan, commits[:count]).files:
            before = published.get(key)
            if before is not None and before != text:
                assert rank(text) > rank(before)
                assert before.splitlines() == text.splitlines()[: len(before.splitlines())]
            published[key] = text
    final = publication("m", plan, commits, final=True)
    assert final.complete
    assert final.playable
    assert final.progress == 1
    assert set(published) == {key for key, _ in final.files}
    for key, text in final.files:
        assert rank(text) > rank(published[key])


def test_nothing_is_listed_beyond_a_gap() -> None:
    plan = make_plan(frames=30 * 40)
    commits = [c for c in make_commits(plan) if c.task != "video-00002"]
    files = dict(publication("m", plan, commits).files)
    playlist = files[f"v/m/{plan.version}/720p/playlist.m3u8"]
    assert playlist.count("#EXTINF") == 2
    assert files[f"v/m/{plan.version}/audio/playlist.m3u8"].count("#EXTINF") == plan.segment_count


def test_multivariant_comes_last_and_only_when_every_rendition_has_begun() -> None:
    plan = make_plan()
    by_task = {commit.task: commit for commit in make_commits(plan)}
    video_only = publication("m", plan, [by_task["video-00000"]])
    assert not video_only.playable
    assert all(key.endswith("playlist.m3u8") for key, _ in video_only.files)
    both = publication("m", plan, [by_task["video-00000"], by_task["audio-00000"]])
    assert both.playable
    assert both.files[-1][0] == f"v/m/{plan.version}/index.m3u8"


def test_variants_start_near_two_megabits_and_then_fall() -> None:
    plan = make_plan()
    assert plan.video is not None
    rates = {"1080p": 5_000_000, "480p": 1_400_000, "360p": 800_000}
    rungs = tuple(Rung(name, 640, 360, rate) for name, rate in rates.items())
    plan = replace(plan, video=replace(plan.video, rungs=rungs))
    text = dict(publication("m", plan, make_commits(plan)).files)[f"v/m/{plan.version}/index.m3u8"]
    uris = [line for line in text.splitlines() if line.endswith(".m3u8")]
    assert uris == ["480p/playlist.m3u8", "1080p/playlist.m3u8", "360p/playlist.m3u8"]
    assert text.index("EXT-X-STREAM-INF") < text.index("EXT-X-MEDIA:")


@pytest.mark.parametrize("language", ["und", "deu"])
def test_language_of_the_sound_is_in_the_multivariant_playlist(language: str) -> None:
    plan = make_plan()
    assert plan.audio is not None
    plan = replace(plan, audio=replace(plan.audio, language=language))
    text = dict(publication("m", plan, make_commits(plan)).files)[f"v/m/{plan.version}/index.m3u8"]
    assert f',LANGUAGE="{language}",' in text


def test_video_without_audio_has_no_audio_group() -> None:
    plan = make_plan(audio=False)
    text = dict(publication("m", plan, make_commits(plan), final=True).files)[
        f"v/m/{plan.version}/index.m3u8"
    ]
    assert "AUDIO" not in text
    assert "mp4a" not in text


def test_audio_title_offers_each_bit_rate_as_a_variant() -> None:
    plan = make_plan(frames=None)
    assert names_of(plan) == ["audio-192k", "audio-96k"]
    final = publication("m", plan, make_commits(plan), final=True)
    text = dict(final.files)[f"v/m/{plan.version}/index.m3u8"]
    assert text.count("EXT-X-STREAM-INF") == 2
    assert "RESOLUTION" not in text
    assert "EXT-X-MEDIA:" not in text


def test_an_incomplete_package_is_never_final() -> None:
    plan = make_plan()
    with pytest.raises(AssertionError):
        publication("m", plan, make_commits(plan)[:-1], final=True)


def test_nothing_committed_publishes_nothing() -> None:
    commits: list[Commit] = []
    result = publication("m", make_plan(), commits)
    assert (result.files, result.playable, result.progress) == ((), False, 0)


def known_from(commits: Sequence[Commit], starts: Mapping[str, int]) -> list[Commit]:
    """What a catalog answers to who asks for the commits from there on."""
    return [c for c in commits if int(c.task[-5:]) >= starts[c.task[:-6]]]


@pytest.mark.parametrize("seed", range(5))
def test_commits_learnt_bit_by_bit_show_what_all_at_once_show(seed: int) -> None:
    plan = make_plan(frames=30 * 60)
    commits = list(make_commits(plan))
    chance = random.Random(seed)
    chance.shuffle(commits)
    committed = Committed("m", plan)
    for count in range(1, len(commits) + 1):
        if chance.random() < 0.6 and count < len(commits):
            continue
        assert committed.learn(known_from(commits[:count], committed.starts()))
        assert committed.publication() == publication("m", plan, commits[:count])
    assert committed.publication(final=True) == publication("m", plan, commits, final=True)


def test_commits_of_an_earlier_life_are_told_apart() -> None:
    plan = make_plan(frames=30 * 40)
    commits = make_commits(plan)
    committed = Committed("m", plan)
    assert committed.learn(commits)
    assert committed.learn(known_from(commits, committed.starts()))
    assert not committed.learn([])
    assert not committed.learn(known_from(commits[:4], committed.starts()))
