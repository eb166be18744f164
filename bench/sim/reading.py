"""What a read from S3 costs an origin: behind a shield nearly every request is one."""

import asyncio
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deployments.aws_local.servers import seaweed
from media.settings import AwsSettings
from stores.objects.s3 import S3Objects

OBJECT_BYTES = 1 << 20
OBJECTS = 40
ROUNDS = 10
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Reading:
    reads: int
    cpu_s: float  # user and system, of this process alone

    @property
    def reads_per_cpu_s(self) -> float:
        return self.reads / self.cpu_s


def measure_reading() -> Reading:
    """Objects of a megabyte from an S3 server on loopback, through the store that origins use."""
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder)) as s3:
        os.environ.update(s3.environment())
        settings = AwsSettings(
            region=s3.region,
            s3endpoint=s3.endpoint,
            s3rawbucket="bench-raw",
            s3processedbucket="bench-processed",
            s3encryption="none",
        )
        return asyncio.run(_read(settings))


async def _read(settings: AwsSettings) -> Reading:
    store = S3Objects(settings)
    keys = [f"v/{number:024x}/0/00000.m4s" for number in range(OBJECTS)]
    try:
        await store.create()
        for key in keys:
            await store.put(key, os.urandom(OBJECT_BYTES))
        await _read_all(store, keys)  # connections are open then
        before = _cpu_s()
        for _ in range(ROUNDS):
            await _read_all(store, keys)
        return Reading(ROUNDS * OBJECTS, _cpu_s() - before)
    finally:
        await store.close()


async def _read_all(store: S3Objects, keys: list[str]) -> None:
    for first in range(0, len(keys), AT_ONCE):
        bodies = await asyncio.gather(*(store.get(key) for key in keys[first : first + AT_ONCE]))
        assert all(len(body) == OBJECT_BYTES for body, _ in bodies)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
