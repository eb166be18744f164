"""The installation without any configuration, in parts: files, SQLite, a private Redis."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
from redis.asyncio import Redis

from stores.catalog.sqlite import SqliteCatalog
from stores.jobs.bull import BullJobs
from stores.jobs.embedded import SOCKET, EmbeddedRedis
from stores.objects.filesystem import FilesystemObjects
from stores.wiring import Stores
from tests.chaos.disk import small_disk
from tests.chaos.estate import Estate, RedisControl, Shape, free_port, machine_environment, started
from tests.chaos.machines import Machine
from tests.chaos.proxy import running_proxy


class PrivateRedis(RedisControl):
    """Whoever of the machines keeps it starts it again."""

    def process(self) -> psutil.Process | None:
        for process in psutil.process_iter(["name", "cwd"]):
            info = process.info
            if info["name"] == "redis-server" and info["cwd"] == str(self.directory):
                return process
        return None

    def start(self) -> None:
        """The keeper does."""

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.directory / SOCKET))


@asynccontextmanager
async def embedded_estate(
    directory: Path, dice: random.Random, shape: Shape
) -> AsyncIterator[Estate]:
    data = directory / "data"
    ports = {name: free_port() for name in ("api", "origin")}

    def machine(name: str, command: str) -> Machine:
        port = {"STREAM_SERVER_PORT": str(ports[name])} if name in ports else {}
        environment = machine_environment(data, port)
        return Machine(name, command, environment, directory)

    machines = [machine(name, name) for name in ports]
    machines += [machine(name, "worker") for name in shape.worker_names]
    async with AsyncExitStack() as stack:
        if shape.is_on_small_disk:
            stack.enter_context(small_disk(data))
        door = await stack.enter_async_context(
            running_proxy(("127.0.0.1", ports["api"]), http=True, dice=dice)
        )
        await stack.enter_async_context(started(machines, f"http://127.0.0.1:{ports['api']}"))
        objects = FilesystemObjects(data / "objects")
        stack.push_async_callback(objects.close)
        catalog = SqliteCatalog(data / "catalog.sqlite3")
        stack.push_async_callback(catalog.close)
        jobs = BullJobs(EmbeddedRedis(data / "run").address)
        stack.push_async_callback(jobs.close)
        yield Estate(
            name="embedded",
            door=door,
            origin_url=f"http://127.0.0.1:{ports['origin']}",
            machines=machines,
            stores=Stores(objects, catalog, jobs),
            redis=PrivateRedis(data / "run"),
            small_disk=data if shape.is_on_small_disk else None,
        )
