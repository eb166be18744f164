"""Which backend each store is, chosen once from the settings."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from media.settings import Settings
from stores.catalog.base import Catalog
from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.base import Jobs, TitleHandler, Worker
from stores.jobs.bull import BullJobs
from stores.jobs.embedded import EmbeddedRedis
from stores.jobs.worker import BullWorker
from stores.objects.base import ObjectStore
from stores.objects.filesystem import FilesystemObjects


@dataclass(frozen=True, slots=True)
class Stores:
    objects: ObjectStore
    catalog: Catalog
    jobs: Jobs


def open_objects(settings: Settings) -> ObjectStore:
    """For a process that needs nothing else, such as an origin."""
    return FilesystemObjects(settings.data.dir / "objects")


def make_worker(settings: Settings, handler: TitleHandler) -> Worker:
    """To be run while `open_stores` is open."""
    address = EmbeddedRedis(settings.data.dir / "run").address
    return BullWorker(
        address, handler, settings.worker.concurrency, settings.worker.jobtimeout.total_seconds()
    )


@contextlib.asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Raises Unavailable when the object store cannot be used, or the private redis-server
    cannot be started."""
    data = settings.data.dir
    async with contextlib.AsyncExitStack() as stack:
        objects = open_objects(settings)
        stack.push_async_callback(objects.close)
        await objects.sweep()
        webhooks = settings.webhook.url is not None
        catalog = SqliteCatalog(data / "catalog.sqlite3", webhooks=webhooks)
        stack.push_async_callback(catalog.close)
        redis = await stack.enter_async_context(EmbeddedRedis(data / "run"))
        jobs = BullJobs(redis.address)
        stack.push_async_callback(jobs.close)
        yield Stores(objects, catalog, jobs)
