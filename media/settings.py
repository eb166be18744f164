"""The typed values of the configuration; reading them from files and environment is cli/config.py.

Key names have no underscores: in the environment an underscore separates levels, so
`STREAM_FFMPEG_SEGMENTDURATION` is `ffmpeg.segmentduration`.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    model_validator,
)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DURATION_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_BIT_RATE = re.compile(r"(\d+)(k|M)?")
_BIT_RATE_UNIT = {None: 1, "k": 1_000, "M": 1_000_000}


def parse_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError("expected a duration such as 500ms, 30s, 30m or 2h")
    return timedelta(seconds=float(match[1]) * _DURATION_UNIT_S[match[2]])


def parse_bit_rate(value: object) -> int:
    match = _BIT_RATE.fullmatch(str(value))
    if match is None:
        raise ValueError("expected a bit rate such as 5000k or 5M")
    return int(match[1]) * _BIT_RATE_UNIT[match[2]]


def check_origin(value: str) -> str:
    if _ORIGIN.fullmatch(value) is None:
        raise ValueError("expected an origin as browsers name it, such as https://studio.example")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
WebOrigin = Annotated[str, AfterValidator(check_origin)]
BitRate = Annotated[int, BeforeValidator(parse_bit_rate), Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AppSettings(Section):
    name: str = "headrace"
    version: str = "0.1.0"
    environment: str = "development"


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    readtimeout: Duration = timedelta(seconds=75)  # a head, idleness, 64 KiB of a body
    writetimeout: Duration = timedelta(seconds=30)  # to answer a control request
    maxupload: ByteSize = ByteSize(20 * 1024**3)
    publicurl: str | None = None  # what playback and upload URLs begin with; default: the request
    corsorigins: tuple[WebOrigin, ...] = ()  # whose pages may call the API in any user's name


class DataSettings(Section):
    dir: Path = Path("var")


class Profile(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    width: int = Field(ge=16, le=7680)
    height: int = Field(ge=16, le=4320)
    videobitrate: BitRate
    audiobitrate: BitRate


DEFAULT_PROFILES = (
    Profile(name="1080p", width=1920, height=1080, videobitrate=5_000_000, audiobitrate=192_000),
    Profile(name="720p", width=1280, height=720, videobitrate=2_800_000, audiobitrate=128_000),
    Profile(name="480p", width=854, height=480, videobitrate=1_400_000, audiobitrate=128_000),
    Profile(name="360p", width=640, height=360, videobitrate=800_000, audiobitrate=96_000),
)


class FfmpegSettings(Section):
    segmentduration: Duration = timedelta(seconds=6)
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"
    ] = "veryfast"
    crf: int = Field(23, ge=0, le=51)  # quality aimed at; a profile's videobitrate is the ceiling
    profiles: tuple[Profile, ...] = Field(DEFAULT_PROFILES, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [profile.name for profile in self.profiles]
        if len(set(names)) < len(names):
            raise ValueError(f"profile names must differ, got {', '.join(names)}")
        seconds = self.segmentduration.total_seconds()
        if seconds not in (2, 4, 6, 8, 10):
            raise ValueError(f"segmentduration must be 2s, 4s, 6s, 8s or 10s, got {seconds:g}s")
        return self


class WorkerSettings(Section):
    concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    jobtimeout: Duration = timedelta(minutes=30)  # of one task (a chunk, an audio track)


class OriginSettings(Section):
    cache: ByteSize = ByteSize(256 * 1024**2)  # budget of the in-process cache, per process


class SigningSettings(Section):
    """Playback-token keys, `kid: secret (base64url)`. The first signs; all verify.

    Empty: a key is made at the first start and kept in the data directory.
    """

    keys: dict[str, str] = Field(default_factory=dict)
    lifetime: Duration = timedelta(hours=6)


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(Section):
    app: AppSettings = AppSettings()
    server: ServerSettings = ServerSettings()
    data: DataSettings = DataSettings()
    ffmpeg: FfmpegSettings = FfmpegSettings()
    worker: WorkerSettings = WorkerSettings()
    origin: OriginSettings = OriginSettings()
    signing: SigningSettings = SigningSettings()
    log: LogSettings = LogSettings()
