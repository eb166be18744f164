"""What operators and machines ask: is it alive, can it work, what does it do, what is it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from media.asset import Priority
from media.settings import AppSettings
from server.api.bodies import Health, Ready, answer
from server.api.metrics import CONTENT_TYPE, Metrics
from server.api.operations import Gives, Operation
from server.problems import NotReady
from stores.errors import Unavailable
from stores.wiring import Store, Stores

STORE_TIMEOUT_S = 2  # what asks here asks again soon, and gives up early


class System:
    def __init__(self, app: AppSettings, stores: Stores, metrics: Metrics) -> None:
        self._health = Health.model_validate(app)
        self._stores = stores
        self._kept: Mapping[str, Store] = {"objects": stores.objects, "catalog": stores.catalog}
        self._metrics = metrics

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/health",
                self.get_health,
                "Is the process alive",
                Gives(200, "It is.", Health),
                for_user=False,
            ),
            Operation(
                "GET",
                "/ready",
                self.get_ready,
                "Can it do its work: do all stores answer",
                Gives(200, "It can.", Ready),
                problems=(NotReady,),
                for_user=False,
            ),
            Operation(
                "GET",
                "/metrics",
                self.get_metrics,
                "Counters of this process, in Prometheus's text format",
                Gives(200, "The counters.", media_type="text/plain"),
                for_user=False,
            ),
        ]

    async def get_health(self, request: Request) -> Response:
        return answer(self._health)

    async def get_ready(self, request: Request) -> Response:
        failing = await _failing({**self._kept, "jobs": self._stores.jobs})
        if failing:
            raise NotReady(failing)
        return answer(Ready())

    async def get_metrics(self, request: Request) -> Response:
        failing, (jobs, oldest_s) = await asyncio.gather(_failing(self._kept), self._work())
        are_up = {store: store not in failing for store in self._kept}
        return Response(self._metrics.render(jobs, oldest_s, are_up), media_type=CONTENT_TYPE)

    async def _work(self) -> tuple[Mapping[str, int], Mapping[Priority, float]]:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                return await self._stores.jobs.counts(), await self._stores.jobs.oldest_s()
        except (Unavailable, TimeoutError):
            return {}, {}


async def _failing(stores: Mapping[str, Store]) -> Mapping[str, str]:
    """Why, by its name."""
    failures = await asyncio.gather(*(_failure(store.check()) for store in stores.values()))
    return {name: why for name, why in zip(stores, failures, strict=True) if why}


async def _failure(check: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await check
    except Unavailable as exc:
        return str(exc)
    except TimeoutError:
        return f"no answer within {STORE_TIMEOUT_S} s"
    return None
