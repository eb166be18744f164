"""Which backend each store is, chosen once from the settings.

What only an installation on AWS uses is imported when it is chosen: it takes half a second and
tens of megabytes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from media.settings import Settings
from stores import tracing
from stores.catalog.base import Catalog
from stores.catalog.sqlite import SqliteCatalog
from stores.errors import Unavailable
from stores.jobs.base import Jobs, TitleHandler, Worker
from stores.jobs.bull import BullJobs
from stores.jobs.connection import RedisAddress
from stores.jobs.embedded import EmbeddedRedis
from stores.jobs.worker import BullWorker
from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects

START_PATIENCE_S = 15.0
RETRY_S = 1.0

Store = ObjectStore | Catalog | Jobs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    objects: ObjectStore
    catalog: Catalog
    jobs: Jobs


def open_objects(settings: Settings) -> ObjectStore:
    """For a process that needs nothing else, such as an origin."""
    if settings.aws.s3rawbucket is None:
        return FilesystemObjects(settings.data.dir / "objects")
    from stores.objects.s3 import S3Objects

    return S3Objects(settings.aws)


def make_worker(settings: Settings, handler: TitleHandler) -> Worker:
    """To be run while `open_stores` is open."""
    return BullWorker(
        _redis_address(settings),
        handler,
        settings.worker.concurrency,
        settings.worker.jobtimeout.total_seconds(),
    )


def open_jobs(settings: Settings) -> Jobs:
    """For whoever only looks: starts nothing. Raises Unavailable if no private Redis runs."""
    address = _redis_address(settings)
    if RedisAddress.of(settings.redis) is None and not Path(address.socket or "").exists():
        where = settings.data.dir.absolute()
        raise Unavailable(f"no service runs on {where}, and with it no Redis: see `headrace up`")
    return BullJobs(address)


def private_redis(settings: Settings) -> AbstractAsyncContextManager[object]:
    """Keeps the redis-server of an installation that has no other running."""
    if RedisAddress.of(settings.redis) is not None:
        return contextlib.nullcontext()
    return EmbeddedRedis(settings.data.dir / "run")


@contextlib.asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Raises Unavailable when the data directory cannot be used, or the private redis-server
    cannot be started."""
    async with contextlib.AsyncExitStack() as stack:
        objects = open_objects(settings)
        stack.push_async_callback(objects.close)
        catalog = _open_catalog(settings)
        stack.push_async_callback(catalog.close)
        await stack.enter_async_context(private_redis(settings))
        jobs = BullJobs(_redis_address(settings))
        stack.push_async_callback(jobs.close)
        yield Stores(objects, catalog, jobs)


@contextlib.asynccontextmanager
async def traced(settings: Settings, component: str) -> AsyncIterator[None]:
    """Tells where time goes meanwhile, if there is anybody to tell."""
    if settings.tracing.endpoint is None:
        yield
        return
    from stores.otlp import OtlpTracer

    tracer = OtlpTracer(settings.tracing.endpoint, settings.app, component)
    tracing.use(tracer)
    try:
        yield
    finally:
        tracing.use(None)
        await asyncio.to_thread(tracer.close)


async def wait_for_stores(settings: Settings, *, objects_only: bool = False) -> None:
    """Before a process starts: raises Unavailable, with what to do about it, if a store outside
    this process is not to be used. Whoever started the process starts it again; an outage that
    comes later only makes it unready."""
    for store in _external(settings, objects_only=objects_only):
        try:
            await _wait_for(store)
        finally:
            await store.close()


async def create_storage(settings: Settings) -> AsyncIterator[str]:
    """Make what a new installation lacks, see `doctor --create`; says what is made."""
    objects, catalog = open_objects(settings), _open_catalog(settings)
    try:
        for made in await objects.create():
            yield made
        for made in await catalog.create_storage():
            yield made
    finally:
        await objects.close()
        await catalog.close()


def backends(settings: Settings) -> dict[str, str]:
    """Where each store is, for a person."""
    aws, data = settings.aws, settings.data.dir.absolute()
    address = RedisAddress.of(settings.redis)
    buckets = f"S3 buckets {aws.s3rawbucket} and {aws.s3processedbucket}"
    return {
        "objects": f"files in {data / 'objects'}" if aws.s3rawbucket is None else buckets,
        "catalog": f"SQLite in {data}"
        if aws.dynamodbtable is None
        else f"DynamoDB table {aws.dynamodbtable}",
        "jobs": f"a private Redis in {data / 'run'}" if address is None else f"Redis at {address}",
    }


def keeps_files(settings: Settings) -> bool:
    """Whether any store is in the data directory."""
    elsewhere = (settings.aws.s3rawbucket, settings.aws.dynamodbtable)
    return None in elsewhere or RedisAddress.of(settings.redis) is None


def _open_catalog(settings: Settings) -> Catalog:
    webhooks = settings.webhook.url is not None
    if settings.aws.dynamodbtable is None:
        return SqliteCatalog(settings.data.dir / "catalog.sqlite3", webhooks=webhooks)
    from stores.catalog.dynamodb import DynamoCatalog

    return DynamoCatalog(settings.aws.dynamodbtable, settings.aws, webhooks=webhooks)


def _redis_address(settings: Settings) -> RedisAddress:
    return RedisAddress.of(settings.redis) or EmbeddedRedis(settings.data.dir / "run").address


def _external(settings: Settings, *, objects_only: bool) -> Iterator[Store]:
    if objects_only or settings.aws.s3rawbucket is not None:
        yield open_objects(settings)
    if objects_only:
        return
    if settings.aws.dynamodbtable is not None:
        yield _open_catalog(settings)
    address = RedisAddress.of(settings.redis)
    if address is not None:
        yield BullJobs(address)


async def _wait_for(store: Store) -> None:
    deadline = time.monotonic() + START_PATIENCE_S
    told = ""
    while True:
        try:
            return await store.check()
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            if str(error) != told:
                told = str(error)
                log.warning("a store is not to be used yet, trying again: %s", told)
        await asyncio.sleep(RETRY_S)
