"""Files cut and altered anywhere: each ends as a package or as a failure with a reason, soon."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.asset import Status
from tests.transcoder.running import CLIPS, house

SMALL_CLIPS = (
    "audio-shorter-than-video.mp4",
    "odd-161x121-vp9.webm",
    "subtitles-srt.mkv",
    "audio-only-cover.mp3",
    "audio-only-cover.flac",
    "bad-bitstream.webm",
    "bad-mdat-too-long.mp4",
    "bad-missing-stsd.mp4",
)
TRIES = 4


def altered(data: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(TRIES):
        yield data[: chance.randrange(len(data))]
        changed = bytearray(data)
        for _ in range(chance.choice([1, 20, 400])):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        yield bytes(changed)
        # Headers and indexes lie at either end: numbers there are the ones that lead astray.
        changed = bytearray(data)
        for _ in range(30):
            position = chance.randrange(2000)
            position = position if chance.random() < 0.5 else len(data) - 1 - position
            changed[position] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        yield bytes(changed)


@pytest.mark.parametrize("name", SMALL_CLIPS)
def test_altered_clip_ends_well(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)  # the same files in each run

    async def scenario() -> None:
        async with house(tmp_path) as here:
            for number, data in enumerate(altered((CLIPS / name).read_bytes(), chance)):
                clip = tmp_path / f"{number}"
                clip.write_bytes(data)
                asset = await here.process(await here.upload(clip, f"m{number}"))
                assert asset.status in {Status.READY, Status.FAILED}
                if asset.status is Status.FAILED:
                    assert asset.error is not None
                    assert " " in asset.error.message
                    assert not asset.error.retryable

    asyncio.run(scenario())
