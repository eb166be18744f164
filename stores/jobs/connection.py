"""Where the Redis of the job engine is, how to reach it, and what to say when that fails."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TimeoutError,
)

from media.settings import RedisSettings
from stores.errors import Denied, TimedOut, Unavailable
from stores.trait import Trait

T = TypeVar("T")

Client = Redis | RedisCluster

_CLOSED = re.compile("closed by server|reset by peer")
OLDEST_VERSION = (6, 2)
FULL = 0.8  # of its maxmemory
MIB = 1 << 20
# A primary that has become a replica answers ReadOnlyError: a new connection finds the new one.
PASSING = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError)
REFUSALS = (AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`str()` of it names it without its password."""

    prefix: str  # of all keys and channels; in braces, so that they share a slot of a cluster
    socket: str | None = None  # path; instead of host and port
    host: str = "localhost"
    port: int = 6379
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    cluster: bool = False

    @classmethod
    def of(cls, settings: RedisSettings) -> Self | None:
        """None: none is configured, a private one is to be used."""
        prefix = f"{{{settings.prefix}}}"
        if settings.url is not None:
            return cls._parse(settings.url.get_secret_value(), prefix, cluster=settings.cluster)
        if settings.host is None:
            return None
        return cls(
            prefix,
            host=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            tls=settings.tls,
            cluster=settings.cluster,
        )

    @classmethod
    def _parse(cls, url: str, prefix: str, *, cluster: bool) -> Self:
        parts = urlsplit(url)
        username = unquote(parts.username or "") or None
        password = unquote(parts.password or "") or None
        if parts.scheme == "unix":
            return cls(prefix, unquote(parts.path), username=username, password=password)
        return cls(
            prefix,
            host=parts.hostname or "",
            port=parts.port or 6379,
            database=int(parts.path.strip("/") or 0),
            username=username,
            password=password,
            tls=parts.scheme == "rediss",
            cluster=cluster,
        )

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix://{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' * self.tls}://{host}:{self.port}/{self.database}"

    def connect(self, patience_s: int) -> Client:
        """A client for one Queue or one Worker, which close it with themselves. What fails it
        tries again for about as long as it has patience.

        BullMQ's own settings do not survive redis-py 8: the read timeout equals the idle poll,
        and the back-off after it leaves a worker deaf for up to 20 s.
        """
        options: dict[str, Any] = {
            "username": self.username,
            "password": self.password,
            "decode_responses": True,
            "socket_timeout": 15,  # above BullMQ's longest blocking read, 10 s
            "socket_connect_timeout": 3,
            "health_check_interval": 10,
            "retry": _Retry(patience_s),
            "retry_on_error": [*PASSING],
        }
        if self.socket is not None:
            return Redis(unix_socket_path=self.socket, **options)
        options |= {"host": self.host, "port": self.port, "ssl": self.tls}
        if self.tls:
            options["ssl_min_version"] = ssl.TLSVersion.TLSv1_2
        if self.cluster:
            return RedisCluster(**options)
        return Redis(db=self.database, **options)

    @contextlib.contextmanager
    def reaching(self, *, first: bool = False) -> Iterator[None]:
        """Raises Unavailable for what the client raises; the first time settings may be wrong."""
        try:
            with _cancellable():
                yield
        except (RedisError, RedisClusterException) as error:
            raise self._explain(error, self._hint(error) if first else "") from error

    def check(self, info: dict[str, Any]) -> None:
        """Raises Denied, with what to do, if what this Redis says of itself rules it out."""
        version = str(info.get("redis_version", ""))  # some hosted ones do not tell
        numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
        if version and numbers < OLDEST_VERSION:
            raise Denied(f"Redis at {self} is version {version}: at least 6.2 is needed")
        if info.get("redis_mode") == "cluster" and not self.cluster:
            raise Denied(f"Redis at {self} is a cluster: set redis.cluster to true")
        policy = info.get("maxmemory_policy")
        if policy != "noeviction":
            raise Denied(
                f"Redis at {self} may throw jobs away: its maxmemory-policy is {policy},"
                " set it to noeviction or use another Redis for jobs"
            )

    def _explain(self, error: Exception, hint: str) -> Unavailable:
        if isinstance(error, REFUSALS):
            return Denied(
                f"Redis at {self} refuses the user name and password it is given: {error}"
            )
        if isinstance(error.__context__, ssl.SSLCertVerificationError):
            return Denied(f"Redis at {self} cannot be trusted, TLS says: {error}")
        message = f"Redis at {self} does not answer as it should: {error}{hint}"
        return TimedOut(message) if isinstance(error, TimeoutError) else Unavailable(message)

    def _hint(self, error: Exception) -> str:
        if self.tls and isinstance(error, TimeoutError):
            return " (if it speaks no TLS, leave redis.tls out)"
        if not self.tls and self.socket is None and _CLOSED.search(str(error)):
            return " (if it wants TLS, set redis.tls to true)"
        return ""


def traits(info: dict[str, Any]) -> Iterator[Trait]:
    """Of what a Redis says of itself, beyond what `RedisAddress.check` insists on."""
    version = str(info.get("redis_version", "it does not tell its version"))
    yield Trait("Redis", True, f"{version}, {info.get('maxmemory_policy')}")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        found = f"{used / MIB:.0f} MiB used, no maxmemory"
        yield Trait("Redis memory", True, found, needed=False)
        return
    found = f"{used / MIB:.0f} of {most / MIB:.0f} MiB used"
    remedy = "raise its maxmemory: once it is full, uploads and workers are refused"
    yield Trait("Redis memory", used <= FULL * most, found, remedy, needed=False)


class _Retry(Retry):
    """Until patience is at its end, however long an attempt takes. What is refused stays so."""

    def __init__(self, patience_s: int) -> None:
        backoff = ExponentialBackoff(cap=1, base=0.1)
        # The first four pauses take 1.5 s. A cluster's client only looks at the number.
        super().__init__(backoff, patience_s and patience_s + 2)
        self._patience_s = patience_s

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[[Exception], Any] | Callable[[Exception, int], Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        end = time.monotonic() + self._patience_s

        def may_pass(error: Exception) -> bool:
            if isinstance(error, REFUSALS) or time.monotonic() > end:
                return False
            if isinstance(error.__context__, ssl.SSLCertVerificationError):
                return False
            return is_retryable is None or is_retryable(error)

        with _cancellable():
            return await super().call_with_retry(do, fail, may_pass, with_failure_count)


@contextlib.contextmanager
def _cancellable() -> Iterator[None]:
    """redis-py sends within `asyncio.wait_for`, which before Python 3.12 loses a cancellation that
    comes as it ends: one in four, when a task that does little else is cancelled."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
