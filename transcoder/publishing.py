"""Making committed segments visible."""

from media.commit import Commit
from media.plan import Plan
from media.publish import Publication, advances, publication
from stores.catalog.base import Catalog
from stores.errors import Conflict, NotFound
from stores.objects.base import ObjectStore


async def publish(objects: ObjectStore, catalog: Catalog, media_id: str, plan: Plan) -> None:
    """Show what is committed by now. Any number of workers may do this at once, in any order of
    arrival: each file only ever advances, and the last of them leaves everything shown."""
    committed = await catalog.commits(media_id, plan.version)
    shown = publication(media_id, plan, committed)
    await write_files(objects, shown)
    await catalog.update(
        media_id,
        {"playable": shown.playable, "progress": shown.progress, "renditions": shown.renditions},
    )


async def publish_final(
    objects: ObjectStore, media_id: str, plan: Plan, commits: tuple[Commit, ...]
) -> Publication:
    shown = publication(media_id, plan, commits, final=True)
    await write_files(objects, shown)
    return shown


async def write_files(objects: ObjectStore, shown: Publication) -> None:
    for key, text in shown.files:
        await _advance(objects, key, text)


async def _advance(objects: ObjectStore, key: str, text: str) -> None:
    """Compare and swap, until this text or one that is further on is what the store has."""
    while True:
        current, etag = await _read(objects, key)
        if current is not None and not advances(current, text):
            return
        try:
            await objects.put_if(key, text.encode(), etag=etag)
        except Conflict:
            continue  # somebody else advanced it: each turn of the loop is another's success
        return


async def _read(objects: ObjectStore, key: str) -> tuple[str | None, str | None]:
    try:
        data, info = await objects.get(key)
    except NotFound:
        return None, None
    return data.decode(), info.etag
