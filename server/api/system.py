"""What operators and machines ask: is it alive, can it work, what does it do, what is it."""

import asyncio
from collections.abc import Awaitable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from media.settings import AppSettings
from server.api.bodies import Health, Ready, answer
from server.api.metrics import CONTENT_TYPE, Metrics
from server.api.operations import Gives, Operation
from server.problems import NotReady
from stores.errors import Unavailable
from stores.wiring import Stores

STORE_TIMEOUT_S = 2  # what asks here asks again soon, and gives up early


class System:
    def __init__(self, app: AppSettings, stores: Stores, metrics: Metrics) -> None:
        self._health = Health.model_validate(app)
        self._stores = stores
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
        checks = {
            "objects": self._stores.objects.check(),
            "catalog": self._stores.catalog.check(),
            "jobs": self._stores.jobs.check(),
        }
        failures = await asyncio.gather(*(_failure(check) for check in checks.values()))
        failing = {store: why for store, why in zip(checks, failures, strict=True) if why}
        if failing:
            raise NotReady(failing)
        return answer(Ready())

    async def get_metrics(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                jobs = await self._stores.jobs.counts()
                oldest_s = await self._stores.jobs.oldest_s()
        except (Unavailable, TimeoutError):
            jobs, oldest_s = {}, {}
        return Response(self._metrics.render(jobs, oldest_s), media_type=CONTENT_TYPE)


async def _failure(check: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await check
    except Unavailable as exc:
        return str(exc)
    except TimeoutError:
        return f"no answer within {STORE_TIMEOUT_S} s"
    return None
