import pytest

from media.ladder import plan_audio_rungs, plan_ladder
from media.settings import DEFAULT_PROFILES, Profile


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), ["1080p 1920x1080", "720p 1280x720", "480p 854x480", "360p 640x360"]),
        ((3840, 2160), ["1080p 1920x1080", "720p 1280x720", "480p 854x480", "360p 640x360"]),
        ((1080, 1920), ["1080p 1080x1920", "720p 720x1280", "480p 480x854", "360p 360x640"]),
        ((1280, 720), ["720p 1280x720", "480p 854x480", "360p 640x360"]),
        ((848, 480), ["480p 848x480", "360p 636x360"]),
        ((1080, 720), ["720p 1080x720", "480p 720x480", "360p 540x360"]),
        ((1280, 360), ["720p 1280x360", "480p 854x240", "360p 640x180"]),  # 2:1 sample aspect ratio
        ((1000, 600), ["600p 1000x600", "480p 800x480", "360p 600x360"]),  # between two profiles
        ((870, 490), ["480p 852x480", "360p 640x360"]),  # hardly above a profile
        ((161, 121), ["120p 160x120"]),  # below all
        ((1, 1), ["2p 2x2"]),
        ((2560, 1080), ["1080p 1920x810", "720p 1280x540", "480p 854x360", "360p 640x270"]),
    ],
)
def test_ladder_never_enlarges_and_keeps_the_shape(
    size: tuple[int, int], expected: list[str]
) -> None:
    rungs = plan_ladder(*size, DEFAULT_PROFILES)
    assert [f"{rung.name} {rung.width}x{rung.height}" for rung in rungs] == expected


def test_audio_of_a_video_is_one_shared_rendition() -> None:
    (rung,) = plan_audio_rungs(2, DEFAULT_PROFILES, with_video=True)
    assert (rung.name, rung.bit_rate) == ("audio", 192_000)


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        (DEFAULT_PROFILES, ["audio-192k", "audio-96k"]),
        (DEFAULT_PROFILES[:1], ["audio-192k", "audio-96k"]),
    ],
)
def test_audio_title_has_two_bit_rates(profiles: tuple[Profile, ...], expected: list[str]) -> None:
    rungs = plan_audio_rungs(2, profiles, with_video=False)
    assert [rung.name for rung in rungs] == expected
