"""Titles that go through their lives without a worker: the catalog is told what one would."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from media.asset import Asset, AssetType, Failure, Status
from media.event import Event, EventKind
from stores.catalog.base import Catalog
from stores.catalog.sqlite import SqliteCatalog

FAILURE = Failure("unplayable", "The file is damaged.", retryable=False)
LIFE = (  # what happens, and what a listener hears of it
    EventKind.CREATED,
    EventKind.QUEUED,
    EventKind.PROCESSING,
    EventKind.PROGRESS,
    EventKind.PLAYABLE,
    EventKind.PROGRESS,
    EventKind.READY,
)
RETRIED_LIFE = (*LIFE[:3], EventKind.FAILED, *LIFE[1:])


def catalog_in(data: Path, *, webhooks: bool = False) -> SqliteCatalog:
    """The one that a server with this data directory uses."""
    return SqliteCatalog(data / "catalog.sqlite3", webhooks=webhooks)


async def begin(catalog: Catalog, user: str = "ann") -> str:
    """A title whose first event has happened."""
    media_id = secrets.token_hex(12)
    await catalog.create(
        Asset(
            id=media_id,
            user_id=user,
            title="",
            description="",
            type=AssetType.VIDEO,
            status=Status.UPLOADING,
            created_at_ms=0,
            updated_at_ms=0,
        )
    )
    return media_id


async def go_on(catalog: Catalog, media_id: str, *kinds: EventKind) -> None:
    for kind in kinds:
        match kind:
            case EventKind.PROGRESS:
                asset = await catalog.get(media_id)
                await catalog.update(media_id, {"progress": asset.progress + 0.0101})
            case EventKind.PLAYABLE:
                await catalog.update(media_id, {"playable": True})
            case EventKind.FAILED:
                await catalog.transition(media_id, Status.FAILED, {"error": FAILURE})
            case EventKind.DELETED:
                await catalog.transition(media_id, Status.DELETING)
            case _:
                await catalog.transition(media_id, Status(kind), {"error": None})


async def live(catalog: Catalog, user: str = "ann", kinds: Sequence[EventKind] = LIFE) -> str:
    media_id = await begin(catalog, user)
    await go_on(catalog, media_id, *kinds[1:])
    return media_id


async def whole_log(catalog: Catalog, media_id: str) -> list[Event]:
    log: list[Event] = []
    while page := await catalog.events(media_id, after=len(log)):
        log += page
    return log
