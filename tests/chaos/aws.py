"""The installation of many machines: S3, DynamoDB and a Redis that they share, each behind a
proxy; every machine reaches Redis through one of its own, so that it can be cut off alone."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import psutil
from redis.asyncio import Redis

from cli.config import parse
from deployments.aws_local import servers
from stores.objects.s3 import S3Objects
from stores.wiring import Stores, create_storage, open_stores
from tests.chaos.estate import (
    Estate,
    RedisControl,
    Shape,
    free_port,
    machine_environment,
    started,
)
from tests.chaos.machines import Machine
from tests.chaos.proxy import Address, Proxy, running_proxy

HOST = "127.0.0.1"


class SharedRedis(RedisControl):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._running = ExitStack()
        self.port = free_port()
        self.start()

    def process(self) -> psutil.Process | None:
        return psutil.Process(self._pid) if psutil.pid_exists(self._pid) else None

    def start(self) -> None:
        self.close()
        server = self._running.enter_context(servers.redis(self.directory, port=self.port))
        self._pid = server.pid

    def client(self) -> Redis:
        return Redis(host=HOST, port=self.port)

    def close(self) -> None:
        self._running.close()


@dataclass(frozen=True, slots=True)
class _Backends:
    s3: servers.AwsServer
    dynamodb: servers.AwsServer
    redis: SharedRedis

    def environment(self, s3: str, dynamodb: str, redis_port: int) -> dict[str, str]:
        return {
            **self.s3.environment(),
            "AWS_EC2_METADATA_DISABLED": "true",
            "STREAM_AWS_REGION": self.s3.region,
            "STREAM_AWS_S3ENDPOINT": s3,
            "STREAM_AWS_S3RAWBUCKET": "raw",
            "STREAM_AWS_S3PROCESSEDBUCKET": "processed",
            "STREAM_AWS_S3ENCRYPTION": "none",
            "STREAM_AWS_DYNAMODBENDPOINT": dynamodb,
            "STREAM_AWS_DYNAMODBTABLE": "headrace",
            "STREAM_REDIS_HOST": HOST,
            "STREAM_REDIS_PORT": str(redis_port),
        }


@asynccontextmanager
async def aws_estate(directory: Path, dice: random.Random, shape: Shape) -> AsyncIterator[Estate]:
    ports = {name: free_port() for name in ("api", "origin")}
    roles = {**{name: name for name in ports}, **dict.fromkeys(shape.worker_names, "worker")}
    async with AsyncExitStack() as stack:
        backends = _started_backends(directory, stack)

        async def proxied(upstream: Address, *, http: bool) -> Proxy:
            own = random.Random(dice.random())
            return await stack.enter_async_context(running_proxy(upstream, http=http, dice=own))

        proxies = {
            "s3": await proxied(_address(backends.s3.endpoint), http=True),
            "dynamodb": await proxied(_address(backends.dynamodb.endpoint), http=True),
        }
        for name in roles:
            proxies[f"redis-{name}"] = await proxied((HOST, backends.redis.port), http=False)
        door = await proxied((HOST, ports["api"]), http=True)

        clocks = shape.clocks(directory)

        def machine(name: str) -> Machine:
            variables = backends.environment(
                f"http://{HOST}:{proxies['s3'].port}",
                f"http://{HOST}:{proxies['dynamodb'].port}",
                proxies[f"redis-{name}"].port,
            )
            if name in ports:
                variables["STREAM_SERVER_PORT"] = str(ports[name])
            if name in clocks:
                variables |= clocks[name].environment()
            environment = machine_environment(directory / name, variables)
            return Machine(name, roles[name], environment, directory)

        stores = await stack.enter_async_context(_direct_stores(backends, directory))
        machines = [machine(name) for name in roles]
        await stack.enter_async_context(started(machines, f"http://{HOST}:{ports['api']}"))
        yield Estate(
            name="aws",
            door=door,
            origin_url=f"http://{HOST}:{ports['origin']}",
            machines=machines,
            stores=stores,
            redis=backends.redis,
            proxies=proxies,
            clocks=clocks,
        )


def _started_backends(directory: Path, stack: AsyncExitStack) -> _Backends:
    s3 = stack.enter_context(servers.seaweed(directory / "s3"))
    dynamodb = stack.enter_context(servers.ministack(directory / "dynamodb"))
    redis = SharedRedis(directory / "redis")
    stack.callback(redis.close)
    return _Backends(s3, dynamodb, redis)


@asynccontextmanager
async def _direct_stores(backends: _Backends, directory: Path) -> AsyncIterator[Stores]:
    """Past the proxies; buckets and table are made first."""
    variables = backends.environment(
        backends.s3.endpoint, backends.dynamodb.endpoint, backends.redis.port
    )
    settings = parse(machine_environment(directory / "driver", variables), directory)
    with patch.dict(os.environ, backends.s3.environment()):  # where AWS clients look
        async for _ in create_storage(settings):
            pass
        # Nothing is under way any more when this collects what was left.
        objects = S3Objects(settings.aws, abandoned_after=timedelta(0))
        try:
            async with open_stores(settings) as stores:
                yield replace(stores, objects=objects)
        finally:
            await objects.close()


def _address(endpoint: str) -> Address:
    parts = urlsplit(endpoint)
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port
