"""The work on a title as its user steers it: how urgent it is, and that it is tried again."""

import asyncio
from collections.abc import Sequence

import structlog
from starlette.requests import Request
from starlette.responses import Response

from media.asset import UNFINISHED, Asset, Failure, Status
from media.keys import source_key
from media.settings import ServerSettings
from server.api.bodies import Media, PriorityRequest, RetryRequest, answer, media_body
from server.api.incoming import json_timeout_s, read_json, read_optional_json
from server.api.operations import Gives, Operation, Takes
from server.api.titles import own_title
from server.problems import (
    BodyTimeout,
    InvalidFields,
    Malformed,
    SourceGone,
    TitleFinished,
    TitleNotFound,
    TooLarge,
    UploadMissing,
    WrongContentType,
)
from stores.errors import Conflict, NotFound, Unavailable
from stores.jobs.base import Jobs
from stores.removal import stop_work
from stores.wiring import Stores

ENQUEUE_TIMEOUT_S = 5  # longer than the job engine takes to come back from a restart
UNUSABLE = frozenset({"bad_package", "outdated"})  # failures after which all is made anew

_log = structlog.get_logger("server.work")


async def enqueue(jobs: Jobs, asset: Asset) -> None:
    """What was uploaded is not lost while the job engine is away: the record says `queued`,
    and whoever reconciles the catalog with the jobs enqueues it."""
    try:
        async with asyncio.timeout(ENQUEUE_TIMEOUT_S):
            await jobs.enqueue(asset.id, asset.priority)
    except (Unavailable, TimeoutError) as exc:
        _log.error("title is queued in the catalog only", media=asset.id, reason=repr(exc))


class Work:
    def __init__(self, stores: Stores, settings: ServerSettings) -> None:
        self._stores = stores
        self._json_timeout_s = json_timeout_s(settings)

    def operations(self) -> Sequence[Operation]:
        sent = (TooLarge, BodyTimeout, WrongContentType, Malformed, InvalidFields)
        return [
            Operation(
                "POST",
                "/api/v1/media/{id}/priority",
                self.set_priority,
                "Move an unfinished title forward or back in the queue; what runs goes on",
                Gives(200, "The title.", Media),
                takes=Takes("application/json", PriorityRequest),
                problems=(*sent, TitleNotFound, TitleFinished, Unavailable),
            ),
            Operation(
                "POST",
                "/api/v1/media/{id}/retry",
                self.retry_title,
                "Encode a failed title again, from where it failed; repeating it changes nothing",
                Gives(200, "The title, queued; as it is if it is queued or processing.", Media),
                takes=Takes("application/json", RetryRequest, required=False),
                problems=(
                    *sent,
                    TitleNotFound,
                    TitleFinished,
                    UploadMissing,
                    SourceGone,
                    Unavailable,
                ),
            ),
        ]

    async def set_priority(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        wanted = await read_json(request, PriorityRequest, timeout_s=self._json_timeout_s)
        if asset.status not in UNFINISHED | {Status.UPLOADING}:
            raise TitleFinished(f"The title is {asset.status}: nothing of it waits to be done.")
        changes = {"priority": wanted.priority}
        try:
            asset = await self._stores.catalog.update(asset.id, changes)
        except (Conflict, NotFound) as exc:  # being deleted
            raise TitleNotFound() from exc
        if asset.status is Status.QUEUED:
            # Else a confirmation under way could enqueue it just after this, as it was before.
            await self._stores.jobs.enqueue(asset.id, asset.priority)
        await self._stores.jobs.set_priority(asset.id, asset.priority)
        return answer(media_body(asset))

    async def retry_title(self, request: Request) -> Response:
        asset = await own_title(self._stores.catalog, request)
        wanted = await read_optional_json(request, RetryRequest, timeout_s=self._json_timeout_s)
        if asset.status is Status.FAILED:
            asset = await self._retry(asset, wanted, request)
        if asset.status is Status.READY:
            raise TitleFinished("The title is ready: there is nothing to try again.")
        if asset.status is Status.UPLOADING:
            raise UploadMissing("The title's file has not come yet: send it, or confirm it.")
        await enqueue(self._stores.jobs, asset)
        return answer(media_body(asset))

    async def _retry(self, asset: Asset, wanted: RetryRequest, request: Request) -> Asset:
        assert asset.error is not None, "a title fails with a reason"
        await self._check_source(asset)
        # Whoever finds the failed job beside the queued record would fail it once more.
        await stop_work(self._stores.jobs, asset.id)
        changes = {"error": None, "priority": wanted.priority or asset.priority}
        try:
            await self._forget(asset.id, asset.error)
            return await self._stores.catalog.transition(asset.id, Status.QUEUED, changes)
        except (Conflict, NotFound):  # retried by another request, or deleted
            return await own_title(self._stores.catalog, request)

    async def _forget(self, media_id: str, failure: Failure) -> None:
        if failure.code in UNUSABLE:
            await self._stores.catalog.forget_plan(media_id)

    async def _check_source(self, asset: Asset) -> None:
        try:
            source = await self._stores.objects.head(source_key(asset.id))
        except NotFound as exc:
            raise SourceGone("The uploaded file is not stored any more; upload it again.") from exc
        if asset.source_etag not in (None, source.etag):
            raise SourceGone("The uploaded file was replaced after its confirmation.")
