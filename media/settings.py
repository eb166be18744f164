"""The typed values of the configuration; reading them from files and environment is cli/config.py.

Key names have no underscores: in the environment an underscore separates levels, so
`STREAM_FFMPEG_SEGMENTDURATION` is `ffmpeg.segmentduration`.
"""

import base64
import binascii
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
    SecretStr,
    model_validator,
)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DURATION_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_COLLECTOR_URL = re.compile(_ORIGIN.pattern + r"(/[\x21-\x7e]*)?", re.IGNORECASE)
_REDIS_URL = re.compile(
    r"(rediss?://([^@/?#]*@)?([^@:/?#\[\]]+|\[[0-9a-fA-F:.]+\])(:(?P<port>[0-9]{1,5}))?(/[0-9]{0,3})?"
    r"|unix://([^@/?#]*@)?/[^?#]+)"
)
_WEBHOOK_URL = re.compile(
    r"https?://([\x21-\x7e]*@)?([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"([/?][\x21-\x7e]*)?"
)
_ORIGIN_SECRET = re.compile(r"[A-Za-z0-9_-]{32,256}")
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


def check_redis_url(value: SecretStr) -> SecretStr:
    match = _REDIS_URL.fullmatch(value.get_secret_value())
    if match is None or int(match["port"] or 0) > 65535:
        raise ValueError(
            "expected redis://user:password@host:port/database, rediss:// for TLS, or unix:///path;"
            " reserved characters of a password are to be percent-encoded"
        )
    return value


def check_webhook_url(value: str) -> str:
    match = _WEBHOOK_URL.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        raise ValueError("expected a URL such as https://studio.example/headrace-events")
    return value


def check_collector_url(value: str) -> str:
    if _COLLECTOR_URL.fullmatch(value) is None:
        raise ValueError(
            "expected the address of an OpenTelemetry collector such as http://127.0.0.1:4318; "
            "what it wants to be told beside it goes into OTEL_EXPORTER_OTLP_HEADERS"
        )
    return value


def webhook_key(secret: SecretStr) -> bytes:
    """Raises ValueError."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):  # the latter: not ASCII
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError(
            "expected whsec_ and the base64 of 24 to 64 random bytes, as printed by "
            "`echo whsec_$(openssl rand -base64 32)`"
        )
    return key


def check_webhook_secret(value: SecretStr) -> SecretStr:
    webhook_key(value)
    return value


def check_origin_secret(value: SecretStr) -> SecretStr:
    if _ORIGIN_SECRET.fullmatch(value.get_secret_value()) is None:
        raise ValueError(
            "expected at least 32 letters, digits, hyphens or underscores, as printed by "
            "`openssl rand -hex 32`"
        )
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
RedisUrl = Annotated[SecretStr, AfterValidator(check_redis_url)]
WebOrigin = Annotated[str, AfterValidator(check_origin)]
OriginSecret = Annotated[SecretStr, AfterValidator(check_origin_secret)]
StorageClass = Literal["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"]
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
    connections: int = Field(4096, ge=1)  # open at a time, idle ones too; per process
    maxupload: ByteSize = ByteSize(20 * 1024**3)
    publicurl: str | None = None  # what URLs begin with; default: as the request did
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


class AwsSettings(Section):
    """Credentials come from where every AWS client looks: environment, profile, role."""

    region: str = "us-east-1"
    s3rawbucket: str | None = None  # of uploaded originals; with s3processedbucket: objects in S3
    s3processedbucket: str | None = None  # of packages
    s3endpoint: str | None = None  # of another S3 than Amazon's
    s3encryption: Literal["none", "AES256", "aws:kms"] = "AES256"
    s3kmskey: str | None = None  # id or ARN; default: the account's key for S3
    s3storageclass: StorageClass = "STANDARD"  # of packages; originals are STANDARD
    dynamodbtable: str | None = None  # set: the catalog is in DynamoDB
    dynamodbendpoint: str | None = None
    # what playback URLs begin with, behind https://
    cloudfrontdomain: str | None = Field(None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.s3rawbucket is None) is not (self.s3processedbucket is None):
            raise ValueError("s3rawbucket and s3processedbucket go together: set both or neither")
        if self.s3rawbucket is not None and self.s3rawbucket == self.s3processedbucket:
            raise ValueError("s3rawbucket and s3processedbucket must be two buckets")
        return self


class RedisSettings(Section):
    """The job engine's; with neither host nor url a private redis-server is started."""

    host: str | None = None
    port: int = Field(6379, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    url: RedisUrl | None = None  # instead of all the above
    cluster: bool = False  # it is a Redis Cluster; host is any node of it
    prefix: str = Field("headrace", pattern=r"^[A-Za-z0-9_.-]{1,64}$")  # of all keys

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url is not None and self.host is not None:
            raise ValueError("host and url are two ways to say the same: set one")
        if self.url is not None and (self.username or self.password or self.tls):
            raise ValueError(
                "username, password and tls go with host; with url they are part of it"
            )
        return self


class WebhookSettings(Section):
    """Where every event of every title is POSTed, signed as Standard Webhooks says."""

    url: Annotated[str, AfterValidator(check_webhook_url)] | None = None
    secret: Annotated[SecretStr, AfterValidator(check_webhook_secret)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) is not (self.secret is None):
            raise ValueError("url and secret go together: set both or neither")
        return self


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
    draintimeout: Duration = timedelta(seconds=5)  # after SIGTERM; then tasks go to others
    metricsport: int | None = Field(None, ge=1, le=65535)  # of GET /metrics and /health
    metricshost: str = "127.0.0.1"


class OriginSettings(Section):
    publicurl: str | None = None  # what playback URLs begin with; default: server.publicurl
    cache: ByteSize = ByteSize(256 * 1024**2)  # budget of the in-process cache, per process
    cachepolicy: Literal["lru", "s3fifo"] = "s3fifo"  # what goes when it is full
    # A CDN that sends one of them as X-Origin-Verify has verified the token and taken it away.
    secrets: tuple[OriginSecret, ...] = ()
    diskcache: ByteSize = ByteSize(0)  # budget of data.dir/origin-cache, of all processes; 0: none
    prefetch: bool = True  # of the next segment, where objects are in S3
    processes: int = Field(1, ge=1, le=64)  # of `headrace origin`, on one port


class SigningSettings(Section):
    """Playback-token keys, `kid: secret (base64url)`. The first signs; all verify.

    Empty: a key is made at the first start and kept in the data directory.
    """

    keys: dict[str, str] = Field(default_factory=dict)
    lifetime: Duration = timedelta(hours=6)
    mode: Literal["token", "cloudfront-cookie", "cloudfront-url"] = "token"
    cloudfrontkeyid: str | None = Field(None, pattern=r"^[A-Za-z0-9]{1,64}$")
    cloudfrontkey: SecretStr | None = None  # private, PEM; of the api alone
    cookiedomain: str | None = Field(None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode != "token" and not self.cloudfrontkeyid:
            raise ValueError(f"mode {self.mode} needs cloudfrontkeyid")
        if self.cookiedomain is not None and self.mode != "cloudfront-cookie":
            raise ValueError("cookiedomain goes with mode cloudfront-cookie")
        return self


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class TracingSettings(Section):
    endpoint: Annotated[str, AfterValidator(check_collector_url)] | None = None  # OTLP over HTTP


class Settings(Section):
    app: AppSettings = AppSettings()
    server: ServerSettings = ServerSettings()
    data: DataSettings = DataSettings()
    aws: AwsSettings = AwsSettings()
    redis: RedisSettings = RedisSettings()
    webhook: WebhookSettings = WebhookSettings()
    ffmpeg: FfmpegSettings = FfmpegSettings()
    worker: WorkerSettings = WorkerSettings()
    origin: OriginSettings = OriginSettings()
    signing: SigningSettings = SigningSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.aws.cloudfrontdomain is not None and self.origin.publicurl is not None:
            raise ValueError(
                "aws.cloudfrontdomain and origin.publicurl are two ways to say the same: set one"
            )
        if self.signing.mode != "token" and self.media_url is None:
            raise ValueError(
                f"signing.mode {self.signing.mode} needs aws.cloudfrontdomain or origin.publicurl: "
                "what is signed begins with it"
            )
        if self.origin.diskcache and self.aws.s3rawbucket is None:
            raise ValueError(
                "origin.diskcache is for objects in S3 (aws.s3rawbucket): here they are on a disk"
            )
        return self

    def require_keys(self) -> None:
        """For a process that signs or verifies: a worker does neither, and is given no keys.
        Raises ValueError."""
        shared = self.aws.dynamodbtable is not None or self.aws.s3rawbucket is not None
        if shared and not self.signing.keys:
            raise ValueError(
                "signing.keys must be set with aws.dynamodbtable or aws.s3rawbucket: machines that "
                "share titles have to sign with the same keys, and one made here would stay here"
            )

    @property
    def media_url(self) -> str | None:
        """What playback URLs begin with, where that is not this server's own address."""
        if self.aws.cloudfrontdomain is not None:
            return f"https://{self.aws.cloudfrontdomain}"
        return self.origin.publicurl and self.origin.publicurl.rstrip("/")
